//! OTLP JSON lines, as the OpenTelemetry file exporter writes them: one request a line.
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/>

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{Message, Rejected, Sink, Undeliverable};

/// See the module.
#[derive(Debug)]
pub struct OtlpFile {
    path: PathBuf,
    file: File,
    inode: u64,
}

impl OtlpFile {
    /// Opens for appending; readable by its owner and group only: it says who read what.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(path)?;
        let inode = file.metadata()?.ino();
        Ok(Self {
            path: path.to_owned(),
            file,
            inode,
        })
    }

    /// Appends one line.
    fn write(&mut self, message: &Message) -> Result<(), Undeliverable> {
        let json = match message {
            Message::Metrics(request) => serde_json::to_vec(request),
            Message::Logs(request) => serde_json::to_vec(request),
            Message::Traces(request) => serde_json::to_vec(request),
        };
        let mut line = json.map_err(|error| Undeliverable::Never(error.to_string()))?;
        line.push(b'\n');
        self.append(&line).map_err(|error| Undeliverable::Later {
            reason: format!("cannot write to {}: {error}", self.path.display()),
            after: None,
        })
    }

    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        // Rotated away: go on in a new file.
        if std::fs::metadata(&self.path).map_or(true, |now| now.ino() != self.inode) {
            *self = Self::open(&self.path)?;
        }
        let before = self.file.metadata()?.len();
        if let Err(error) = self.file.write_all(line) {
            // A full disk may have taken half a line: take it back, so that the next try does not mend two into one.
            let _ = self.file.set_len(before);
            return Err(error);
        }
        Ok(())
    }
}

impl Sink for OtlpFile {
    // Blocks for one write to the page cache: less than handing it to another thread would cost.
    async fn deliver(&mut self, message: &Message) -> Result<Rejected, Undeliverable> {
        self.write(message).map(|()| None)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
        common::v1::{AnyValue, KeyValue, any_value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        metrics::v1::{
            Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
        },
    };

    use super::*;

    #[test]
    fn a_line_cut_short_is_taken_back() {
        // /dev/full takes nothing: the message stays with the caller, to be tried again.
        let mut file = OtlpFile::open(Path::new("/dev/full")).expect("open");
        let failed = file.write(&Message::Logs(ExportLogsServiceRequest::default()));
        assert!(
            matches!(failed, Err(Undeliverable::Later { .. })),
            "{failed:?}"
        );
    }

    #[test]
    fn lines_are_otlp_json() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("otlp.jsonl");
        let mut file = OtlpFile::open(&path).expect("open");
        file.write(&Message::Metrics(ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![Metric {
                        name: "m".into(),
                        data: Some(metric::Data::Sum(Sum {
                            data_points: vec![NumberDataPoint {
                                time_unix_nano: 5,
                                value: Some(number_data_point::Value::AsInt(7)),
                                ..NumberDataPoint::default()
                            }],
                            aggregation_temporality: 2,
                            is_monotonic: true,
                        })),
                        ..Metric::default()
                    }],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        }))
        .expect("metrics");
        std::fs::rename(&path, directory.path().join("rotated")).expect("rotate");
        file.write(&Message::Logs(ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records: vec![LogRecord {
                        trace_id: vec![0xab; 16],
                        span_id: vec![0xcd; 8],
                        severity_number: 17,
                        attributes: vec![KeyValue {
                            key: "k".into(),
                            value: Some(AnyValue {
                                value: Some(any_value::Value::IntValue(i64::MAX)),
                            }),
                            ..KeyValue::default()
                        }],
                        event_name: "e".into(),
                        ..LogRecord::default()
                    }],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        }))
        .expect("logs");
        let rotated = std::fs::read_to_string(directory.path().join("rotated")).expect("rotated");
        let metrics: serde_json::Value = serde_json::from_str(&rotated).expect("JSON");
        let sum = &metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"];
        // 64-bit integers are strings, enums numbers, ids hexadecimal.
        assert_eq!(sum["dataPoints"][0]["timeUnixNano"], "5", "{rotated}");
        assert_eq!(sum["dataPoints"][0]["asInt"], "7", "{rotated}");
        assert_eq!(sum["aggregationTemporality"], 2, "{rotated}");
        let logs: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).expect("new file")).expect("JSON");
        let record = &logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert_eq!(record["traceId"], "ab".repeat(16));
        assert_eq!(record["spanId"], "cd".repeat(8));
        assert_eq!(record["severityNumber"], 17);
        assert_eq!(
            record["attributes"][0]["value"]["intValue"],
            i64::MAX.to_string()
        );
        assert!(
            record["attributes"][0].get("keyStrindex").is_none(),
            "a field of profiles"
        );
        assert_eq!(record["eventName"], "e");
    }
}
