-- Principals whose reading adds up over hosts: more than 10,000 rows in a day together, and less than that on each.
WITH 10000 AS most_on_one, now() - toIntervalDay(1) AS since
SELECT
    user,
    sum(rows) AS rows_read,
    max(rows) AS most_on_a_host,
    mapFromArrays(groupArray(host), groupArray(rows)) AS by_host
FROM (
    SELECT user, host, sum(rows) AS rows
    FROM (
        SELECT
            Attributes['user.name'] AS user,
            ResourceAttributes['host.name'] AS host,
            multiIf(AggregationTemporality = 1, sum(Value), StartTimeUnix >= since, max(Value), max(Value) - min(Value)) AS rows
        FROM otel_metrics_sum
        WHERE MetricName = 'data_access.rows' AND TimeUnix >= since AND Attributes['data_access.direction'] = 'returned'
        GROUP BY ResourceAttributes, Attributes, StartTimeUnix, AggregationTemporality
    )
    GROUP BY user, host
)
WHERE user NOT IN ('', 'other')
GROUP BY user
HAVING rows_read > most_on_one AND most_on_a_host <= most_on_one
ORDER BY rows_read DESC;
