-- Which statements somebody ran, by shape, over all hosts, in the last days. Literals never leave the hosts.
WITH '%' AS the_user, now() - toIntervalDay(7) AS since
SELECT
    user, summary, fingerprint,
    toUInt64(sum(rows)) AS rows_read,
    arraySort(groupUniqArray(host)) AS hosts
FROM (
    SELECT
        Attributes['user.name'] AS user,
        Attributes['db.query.summary'] AS summary,
        Attributes['data_access.query.fingerprint'] AS fingerprint,
        ResourceAttributes['host.name'] AS host,
        multiIf(AggregationTemporality = 1, sum(Value), StartTimeUnix >= since, max(Value), max(Value) - min(Value)) AS rows
    FROM otel_metrics_sum
    WHERE MetricName = 'data_access.statement.rows' AND TimeUnix >= since
      AND Attributes['data_access.direction'] = 'returned' AND Attributes['user.name'] LIKE the_user
    GROUP BY ResourceAttributes, Attributes, StartTimeUnix, AggregationTemporality
)
WHERE rows > 0 AND user NOT IN ('', 'other')
GROUP BY user, summary, fingerprint
ORDER BY rows_read DESC;
