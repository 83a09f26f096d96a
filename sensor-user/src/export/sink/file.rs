//! OTLP JSON lines, as the OpenTelemetry file exporter writes them: one request a line.
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/>
//!
//! A thread of its own writes: a disk or network file system that hangs holds up neither the sensor nor its end.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use tokio::sync::oneshot;

use super::{Message, Rejected, Sink, Undeliverable, advice};

/// See the module.
#[derive(Debug)]
pub struct OtlpFile {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
}

type Outcome = Result<(), Undeliverable>;

#[derive(Debug)]
struct Job {
    message: Arc<Message>,
    outcome: oneshot::Sender<Outcome>,
}

/// A write that takes longer is told of.
const SLOW: Duration = Duration::from_secs(10);

impl OtlpFile {
    /// Opens for appending and starts the thread; readable by its owner and group only: it says who read what.
    ///
    /// # Errors
    /// When the file can't be opened, or the thread not be started.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = Lines::open(path)?;
        let (jobs, waiting) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("otlp-file".to_owned())
            .spawn(move || {
                // Ends with the sink.
                for job in waiting {
                    // Nobody waits any more when the patience of a shutdown is over.
                    let _ = job.outcome.send(file.write(&job.message));
                }
            })?;
        Ok(Self {
            path: path.to_owned(),
            jobs,
        })
    }
}

impl Sink for OtlpFile {
    async fn deliver(&self, message: &Arc<Message>) -> Result<Rejected, Undeliverable> {
        let (outcome, mut written) = oneshot::channel();
        let job = Job {
            message: message.clone(),
            outcome,
        };
        let ended = || Undeliverable::Never {
            reason: "the thread that writes it has ended".to_owned(),
            advice: "that is a defect: please report it, and restart the sensor",
        };
        self.jobs.send(job).map_err(|_| ended())?;
        let outcome = match tokio::time::timeout(SLOW, &mut written).await {
            Ok(outcome) => outcome,
            Err(_) => {
                log::warn!(
                    "export: writing to {} takes more than {} s: does its file system hang? Alerts wait meanwhile",
                    self.path.display(),
                    SLOW.as_secs()
                );
                written.await
            }
        };
        outcome.map_err(|_| ended())?.map(|()| None)
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The file, as its thread has it.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
    /// Device and inode, by which a rotation is noticed.
    identity: (u64, u64),
    /// The file ends within a line, which could not be taken back.
    torn: bool,
}

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        // A FIFO that nobody reads would hold up the start: it is told instead (ENXIO). Once open, writes wait again.
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        blocking(&file)?;
        let metadata = file.metadata()?;
        Ok(Self {
            identity: identity(&metadata),
            torn: metadata.is_file() && metadata.len() > 0 && !ends_a_line(path).unwrap_or(true),
            path: path.to_owned(),
            file,
        })
    }

    /// Appends one line.
    fn write(&mut self, message: &Message) -> Outcome {
        let json = match message {
            Message::Metrics(request) => metrics_json(request),
            Message::Logs(request) | Message::Records(request) => serde_json::to_vec(request),
            Message::Traces(request) => serde_json::to_vec(request),
        };
        let mut line = json.map_err(|error| Undeliverable::Never {
            reason: error.to_string(),
            advice: advice::RECEIVER,
        })?;
        line.push(b'\n');
        self.append(line).map_err(|error| Undeliverable::Later {
            reason: format!("cannot write to {}: {error}", self.path.display()),
            after: None,
        })
    }

    fn append(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        // Rotated or deleted: go on in a new file.
        if fs::metadata(&self.path).map_or(true, |now| identity(&now) != self.identity) {
            *self = Self::open(&self.path)?;
        }
        if self.torn {
            line.insert(0, b'\n');
        }
        let before = self.file.metadata()?.len();
        if let Err(error) = self.file.write_all(&line) {
            // A full disk may have taken half a line: take it back, so that the next try does not mend two into one.
            self.torn |= self.file.set_len(before).is_err();
            return Err(error);
        }
        self.torn = false;
        Ok(())
    }
}

/// Takes `O_NONBLOCK` back: a full pipe is waited for, by the thread that writes.
fn blocking(file: &File) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(())
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn ends_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// OTLP JSON knows no null; the types write it for what a histogram does not say. No text can hold this: its quotes would be
/// escaped.
pub fn metrics_json(request: &ExportMetricsServiceRequest) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_string(request)?;
    Ok(json.replace(",\"min\":null,\"max\":null", "").into_bytes())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest,
        common::v1::{AnyValue, KeyValue, any_value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        metrics::v1::{
            Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
        },
    };

    use super::*;

    #[test]
    fn a_full_disk_is_told_and_leaves_no_half_line() {
        // /dev/full takes nothing: the message stays with the caller, to be tried again.
        let mut file = Lines::open(Path::new("/dev/full")).expect("open");
        let failed = file.write(&Message::Logs(ExportLogsServiceRequest::default()));
        let Err(Undeliverable::Later { reason, .. }) = failed else {
            panic!("worth another try: {failed:?}");
        };
        assert!(
            reason.contains("/dev/full") && reason.contains("No space left"),
            "{reason}"
        );
    }

    #[test]
    fn a_line_that_others_left_unfinished_is_ended() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("otlp.jsonl");
        fs::write(&path, "{}\n{\"half").expect("write");
        let mut file = Lines::open(&path).expect("open");
        for _ in 0..2 {
            file.write(&Message::Logs(ExportLogsServiceRequest::default()))
                .expect("written");
        }
        let text = fs::read_to_string(&path).expect("the file");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["{}", "{\"half"]);
        assert_eq!(lines.len(), 4, "{text}");
    }

    #[test]
    fn a_file_whose_directory_vanished_comes_back_with_it() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let inner = directory.path().join("inner");
        let path = inner.join("otlp.jsonl");
        fs::create_dir(&inner).expect("create");
        let message = Message::Logs(ExportLogsServiceRequest::default());
        let mut file = Lines::open(&path).expect("open");
        file.write(&message).expect("written");
        fs::remove_dir_all(&inner).expect("remove");
        assert!(matches!(
            file.write(&message),
            Err(Undeliverable::Later { .. })
        ));
        fs::create_dir(&inner).expect("create again");
        file.write(&message).expect("written again");
        assert_eq!(
            fs::read_to_string(&path).expect("the file").lines().count(),
            1
        );
    }

    #[test]
    fn a_fifo_that_nobody_reads_does_not_hold_up_the_start() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let error = OtlpFile::open(&path).expect_err("nobody reads");
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
    }

    #[tokio::test]
    async fn a_disk_that_hangs_does_not_block_the_runtime() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        // A reader who does not read: writes hang once the pipe is full.
        let reader = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .expect("reader");
        let sink = OtlpFile::open(&path).expect("open");
        let message = Arc::new(Message::Logs(ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs::default(); 4000],
        }));
        let hangs = tokio::time::timeout(Duration::from_millis(100), sink.deliver(&message)).await;
        assert!(hangs.is_err(), "the runtime's only thread went on");
        drop(reader);
    }

    #[test]
    fn lines_are_otlp_json() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("otlp.jsonl");
        let mut file = Lines::open(&path).expect("open");
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
        fs::rename(&path, directory.path().join("rotated")).expect("rotate");
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
        let rotated = fs::read_to_string(directory.path().join("rotated")).expect("rotated");
        let metrics: serde_json::Value = serde_json::from_str(&rotated).expect("JSON");
        let sum = &metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"];
        // 64-bit integers are strings, enums numbers, ids hexadecimal.
        assert_eq!(sum["dataPoints"][0]["timeUnixNano"], "5", "{rotated}");
        assert_eq!(sum["dataPoints"][0]["asInt"], "7", "{rotated}");
        assert_eq!(sum["aggregationTemporality"], 2, "{rotated}");
        let logs: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).expect("new file")).expect("JSON");
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
