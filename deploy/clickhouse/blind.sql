-- What the sensors did not understand in the last day, by host and cause.
WITH now() - toIntervalDay(1) AS since
SELECT host, cause, toUInt64(sum(bytes)) AS bytes_on_sockets, formatReadableSize(bytes_on_sockets) AS readable
FROM (
    SELECT
        ResourceAttributes['host.name'] AS host,
        if(MetricName = 'data_access.sensor.parsed_bytes', '(parsed)', Attributes['data_access.cause']) AS cause,
        multiIf(AggregationTemporality = 1, sum(Value), StartTimeUnix >= since, max(Value), max(Value) - min(Value)) AS bytes
    FROM otel_metrics_sum
    WHERE MetricName IN ('data_access.sensor.blind_bytes', 'data_access.sensor.parsed_bytes') AND TimeUnix >= since
    GROUP BY ResourceAttributes, MetricName, Attributes, StartTimeUnix, AggregationTemporality
)
GROUP BY host, cause
HAVING bytes_on_sockets > 0
ORDER BY host, bytes_on_sockets DESC;
