-- Tables with the columns of those that the collector's ClickHouse exporter makes (without its indexes, codecs and partitions, which
-- change no answer).
CREATE TABLE otel_logs (
    Timestamp DateTime64(9), TimestampTime DateTime DEFAULT toDateTime(Timestamp),
    TraceId String, SpanId String, TraceFlags UInt8,
    SeverityText LowCardinality(String), SeverityNumber UInt8, ServiceName LowCardinality(String), Body String,
    ResourceSchemaUrl LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String),
    ScopeSchemaUrl LowCardinality(String), ScopeName String, ScopeVersion LowCardinality(String),
    ScopeAttributes Map(LowCardinality(String), String), LogAttributes Map(LowCardinality(String), String)
) ENGINE = MergeTree ORDER BY (ServiceName, TimestampTime, Timestamp);

CREATE TABLE otel_traces (
    Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String, TraceState String,
    SpanName LowCardinality(String), SpanKind LowCardinality(String), ServiceName LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String), ScopeName String, ScopeVersion String,
    SpanAttributes Map(LowCardinality(String), String), Duration UInt64,
    StatusCode LowCardinality(String), StatusMessage String,
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)),
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String))
) ENGINE = MergeTree ORDER BY (ServiceName, SpanName, toDateTime(Timestamp), Timestamp);

CREATE TABLE otel_metrics_gauge (
    ResourceAttributes Map(LowCardinality(String), String), ResourceSchemaUrl String,
    ScopeName String, ScopeVersion String, ScopeAttributes Map(LowCardinality(String), String),
    ScopeDroppedAttrCount UInt32, ScopeSchemaUrl String, ServiceName LowCardinality(String),
    MetricName LowCardinality(String), MetricDescription String, MetricUnit String,
    Attributes Map(LowCardinality(String), String),
    StartTimeUnix DateTime64(9), TimeUnix DateTime64(9), Value Float64, Flags UInt32
) ENGINE = MergeTree ORDER BY (ServiceName, MetricName, cityHash64(Attributes), TimeUnix);

CREATE TABLE otel_metrics_sum (
    ResourceAttributes Map(LowCardinality(String), String), ResourceSchemaUrl String,
    ScopeName String, ScopeVersion String, ScopeAttributes Map(LowCardinality(String), String),
    ScopeDroppedAttrCount UInt32, ScopeSchemaUrl String, ServiceName LowCardinality(String),
    MetricName LowCardinality(String), MetricDescription String, MetricUnit String,
    Attributes Map(LowCardinality(String), String),
    StartTimeUnix DateTime64(9), TimeUnix DateTime64(9), Value Float64, Flags UInt32,
    AggregationTemporality Int32, IsMonotonic Bool
) ENGINE = MergeTree ORDER BY (ServiceName, MetricName, cityHash64(Attributes), TimeUnix);
