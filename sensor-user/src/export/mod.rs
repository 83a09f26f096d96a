//! Telemetry out: one definition of names, one form of data, one queue a sink, one task a signal.
//!
//! OTLP messages are built directly instead of through the SDK: the volumes are aggregated already, and a queue that
//! outlives a dead collector needs finished messages (docs/decisions/otlp-messages.md).

mod describe;
mod differences;
mod exemplars;
mod exporter;
pub mod names;
mod otlp;
mod point;
pub mod prometheus;
mod resource;
mod sink;

pub use describe::{describe, visible};
pub use exemplars::{Exemplar, Exemplars};
pub use exporter::{Counts, ExportConfig, Exporter, Health, Undelivered};
pub use otlp::{Sketch, fingerprint, hash};
pub use point::{
    AlertRecord, Attributes, Batch, HistogramPoint, MetricPoint, Value, principal_attributes,
    volume_points,
};
pub use sink::{
    connection::{Connection, headers_from},
    shown_endpoint,
};
