-- The statements behind an alert: of the newest one, unless another trace id is written here (`trace` of alerts.sql).
WITH (SELECT argMax(TraceId, Timestamp) FROM otel_logs WHERE mapContains(LogAttributes, 'log.record.uid')) AS the_trace
SELECT
    toUInt64OrZero(SpanAttributes['data_access.amount']) AS amount,
    SpanAttributes['db.query.text'] AS statement,
    Timestamp AS first,
    Timestamp + toIntervalNanosecond(Duration) AS last
FROM otel_traces
WHERE TraceId = the_trace AND ParentSpanId != ''
ORDER BY amount DESC;
