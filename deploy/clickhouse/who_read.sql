-- Who read this table in the last days, on any host: rows, by whom, from where, and when last.
WITH 'customers' AS the_table, now() - toIntervalDay(7) AS since
SELECT
    user, login, client,
    sum(rows) AS rows_read,
    arraySort(groupUniqArray(host)) AS hosts,
    max(last) AS last_read
FROM (
    SELECT
        Attributes['user.name'] AS user,
        Attributes['data_access.login_user.name'] AS login,
        Attributes['client.address'] AS client,
        ResourceAttributes['host.name'] AS host,
        -- Differences are added; of totals that began before, what came since.
        multiIf(AggregationTemporality = 1, sum(Value), StartTimeUnix >= since, max(Value), max(Value) - min(Value)) AS rows,
        argMax(TimeUnix, (Value, -toUnixTimestamp(TimeUnix))) AS last
    FROM otel_metrics_sum
    WHERE MetricName = 'data_access.rows' AND TimeUnix >= since
      AND Attributes['data_access.direction'] = 'returned'
      AND has(splitByChar(',', Attributes['db.collection.name']), the_table)
    GROUP BY ResourceAttributes, Attributes, StartTimeUnix, AggregationTemporality
)
WHERE rows > 0
GROUP BY user, login, client
ORDER BY rows_read DESC;
