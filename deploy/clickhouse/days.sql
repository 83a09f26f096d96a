-- Each principal's days over all hosts, beside the median of his own last 30: who reads more than he used to.
WITH now() - toIntervalDay(30) AS since
SELECT
    user, day, rows_read,
    quantileExact(0.5)(rows_read) OVER (PARTITION BY user) AS median,
    round(rows_read / median, 1) AS times
FROM (
    SELECT user, day, toUInt64(sum(rows)) AS rows_read
    FROM (
        SELECT
            Attributes['user.name'] AS user,
            toDate(TimeUnix) AS day,
            -- Of totals: what they are at the day's end, less what they were at the last one's.
            if(AggregationTemporality = 1, sum(Value),
               max(Value) - lagInFrame(max(Value), 1, if(toDate(StartTimeUnix) = toDate(TimeUnix), 0, min(Value))) OVER (
                   PARTITION BY ResourceAttributes, Attributes, StartTimeUnix ORDER BY toDate(TimeUnix))) AS rows
        FROM otel_metrics_sum
        WHERE MetricName = 'data_access.rows' AND TimeUnix >= since AND Attributes['data_access.direction'] = 'returned'
        GROUP BY ResourceAttributes, Attributes, StartTimeUnix, AggregationTemporality, day
    )
    WHERE user NOT IN ('', 'other')
    GROUP BY user, day
    HAVING rows_read > 0
)
ORDER BY day DESC, rows_read DESC;
