-- Alerts of the last days, each once, however often it was delivered.
WITH now() - toIntervalDay(7) AS since
SELECT
    LogAttributes['log.record.uid'] AS id,
    min(Timestamp) AS time,
    any(SeverityText) AS severity,
    any(LogAttributes['data_access.threshold.name']) AS rule,
    any(LogAttributes['user.name']) AS user,
    any(LogAttributes['client.address']) AS client,
    any(LogAttributes['data_access.observed']) AS observed,
    any(LogAttributes['data_access.measure']) AS measure,
    any(LogAttributes['data_access.tables']) AS tables,
    any(ResourceAttributes['host.name']) AS host,
    any(TraceId) AS trace
FROM otel_logs
WHERE mapContains(LogAttributes, 'log.record.uid') AND Timestamp >= since
GROUP BY id
ORDER BY time DESC;
