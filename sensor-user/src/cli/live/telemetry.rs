//! The sensor's state as metrics.

use std::fs;

use anyhow::Result;

use super::Live;
use crate::{
    config,
    export::{
        Attributes, Batch, Connection, ExportConfig, HistogramPoint, MetricPoint, Sketch, Value,
        fingerprint, headers_from,
        names::{self, Metric},
        principal_attributes, volume_points,
    },
    principal::Principal,
    time::Timestamp,
    volume::{
        Volume, records,
        totals::{SeriesKey, StatementKey},
    },
};

/// What to export to, as the configuration says.
///
/// # Errors
/// When an endpoint is malformed or a file that it names can't be read.
pub fn export_config(config: &config::export::Export) -> Result<ExportConfig> {
    let headers = headers_from(config.headers_file.as_ref())?;
    let [logs, traces, metrics] = config.signals.each_ref().map(|signal| {
        let exact = signal.endpoint.is_some();
        Connection::new(&signal.or(&config.otlp), exact, &headers)
    });
    let logs = logs?;
    Ok(ExportConfig {
        otlp: [logs.clone(), traces?, metrics?, logs],
        temporality: config.temporality,
        otlp_file: config.otlp_file.clone(),
        queue: config.queue.max_messages,
        queue_bytes: config.queue.max_size,
        queue_path: config.queue.path.clone(),
        prometheus: config.prometheus,
        interval: config.interval,
    })
}

impl Live {
    /// Exports all metrics as they are now.
    pub fn export_metrics(&mut self) {
        let now = Timestamp::now();
        let mut points = self.series(now);
        points.extend(self.statements(now));
        points.extend(self.users(now));
        points.extend(self.egress(now));
        points.extend(self.records(now));
        points.extend(self.health(now));
        let histograms = self.histograms(now);
        self.exporter.metrics(Batch { points, histograms });
        self.exemplars.told();
        if let Some(interval) = self.config.export.records_interval
            && now >= self.sketched + interval
        {
            self.export_sketches(now);
        }
    }

    /// Exports which records were picked since the last time.
    pub(super) fn export_sketches(&mut self, now: Timestamp) {
        let since = std::mem::replace(&mut self.sketched, now);
        let resolver = &self.pipeline.resolver;
        let sketches: Vec<Sketch> = self
            .pipeline
            .records
            .take_recent()
            .map(|(key, records)| Sketch {
                attributes: records_attributes(resolver.principal(key.principal), &key),
                since,
                time: now,
                records,
                secret: self.kernel.records_secret,
            })
            .collect();
        self.exporter.records(&sketches);
    }

    /// Rows a statement by principal.
    fn histograms(&mut self, now: Timestamp) -> Vec<HistogramPoint> {
        let live = self.pipeline.live.rows();
        let rows = live.map(|(principal, row)| (principal, row.volume.rows()));
        self.pipeline.spread.admit(rows, now);
        let spread = &self.pipeline.spread;
        let point = |attributes, start, histogram, exemplars| HistogramPoint {
            metric: &names::ROWS_PER_STATEMENT,
            attributes,
            start,
            time: now,
            histogram,
            exemplars,
        };
        let mut points: Vec<HistogramPoint> = spread
            .apart()
            .iter()
            .map(|one| {
                point(
                    principal_attributes(self.pipeline.resolver.principal(one.principal)),
                    one.start,
                    one.histogram,
                    self.exemplars.of(Some(one.principal)),
                )
            })
            .collect();
        let other = *spread.other();
        if other.count() > 0 {
            let attributes = vec![(names::USER_NAME, Value::from("other"))];
            points.push(point(
                attributes,
                self.started,
                other,
                self.exemplars.of(None),
            ));
        }
        points
    }

    /// Volumes by principal, database, table and operation.
    fn series(&mut self, now: Timestamp) -> Vec<MetricPoint> {
        let metrics = [&names::ROWS, &names::BYTES, &names::QUERIES];
        let known = |key: &SeriesKey| key.principal.is_some();
        self.series
            .update(self.pipeline.totals.series_mut(), known, now);
        let mut points = Vec::new();
        for series in self.series.apart() {
            let Some(id) = series.key.principal else {
                continue;
            };
            let mut attributes = principal_attributes(self.pipeline.resolver.principal(id));
            attributes.push((names::DB_NAMESPACE, series.key.database.clone().into()));
            attributes.push((names::DB_COLLECTION_NAME, series.key.table.clone().into()));
            attributes.push((
                names::DB_OPERATION_NAME,
                series.key.operation.clone().into(),
            ));
            points.extend(volume_points(
                metrics,
                &attributes,
                &series.volume,
                series.start,
                now,
            ));
        }
        points.extend(self.other(metrics, self.series.other(), now));
        points
    }

    /// Volumes by principal and statement.
    fn statements(&mut self, now: Timestamp) -> Vec<MetricPoint> {
        let metrics = [
            &names::STATEMENT_ROWS,
            &names::STATEMENT_BYTES,
            &names::STATEMENT_QUERIES,
        ];
        let known = |key: &StatementKey| key.principal.is_some();
        self.statements
            .update(self.pipeline.totals.statements_mut(), known, now);
        let mut points = Vec::new();
        for series in self.statements.apart() {
            let Some(id) = series.key.principal else {
                continue;
            };
            let shape = self.pipeline.shapes.shape(series.key.shape_id);
            let mut attributes = principal_attributes(self.pipeline.resolver.principal(id));
            attributes.push((names::DB_QUERY_SUMMARY, shape.summary.clone().into()));
            attributes.push((names::FINGERPRINT, Value::from(fingerprint(shape).as_str())));
            points.extend(volume_points(
                metrics,
                &attributes,
                &series.volume,
                series.start,
                now,
            ));
        }
        points.extend(self.other(metrics, self.statements.other(), now));
        points
    }

    /// Statements by which data left through the server's own hands.
    fn egress(&self, now: Timestamp) -> Vec<MetricPoint> {
        self.pipeline
            .egress
            .series()
            .map(|(key, value, start)| {
                let mut attributes =
                    principal_attributes(self.pipeline.resolver.principal(key.principal));
                attributes.push((names::DB_NAMESPACE, key.database.clone().into()));
                attributes.push((
                    names::EGRESS,
                    Value::from(
                        format!("{} {}", key.egress.route.as_str(), key.egress.destination)
                            .as_str(),
                    ),
                ));
                MetricPoint {
                    metric: &names::EGRESS_QUERIES,
                    attributes,
                    start,
                    time: now,
                    value,
                }
            })
            .collect()
    }

    /// Distinct records by principal and table.
    fn records(&self, now: Timestamp) -> Vec<MetricPoint> {
        self.pipeline
            .records
            .iter()
            .map(|(key, value, start)| MetricPoint {
                metric: &names::RECORDS,
                attributes: records_attributes(
                    self.pipeline.resolver.principal(key.principal),
                    key,
                ),
                start,
                time: now,
                value,
            })
            .collect()
    }

    /// What has no series of its own.
    fn other(
        &self,
        metrics: [&'static Metric; 3],
        volume: &Volume,
        now: Timestamp,
    ) -> Vec<MetricPoint> {
        let attributes = vec![(names::USER_NAME, Value::from("other"))];
        volume_points(metrics, &attributes, volume, self.started, now)
    }

    /// The client's end of local connections, by OS user.
    fn users(&mut self, now: Timestamp) -> Vec<MetricPoint> {
        let start = self.started;
        let mut points = Vec::new();
        for (uid, volume) in self.pipeline.local_users() {
            let user = self.pipeline.resolver.os_user(uid);
            for (direction, value) in [("sent", volume.sent), ("received", volume.received)] {
                points.push(MetricPoint {
                    metric: &names::USER_BYTES,
                    attributes: vec![
                        (names::PROCESS_USER_ID, u64::from(uid).into()),
                        (names::PROCESS_USER_NAME, user.name.clone().into()),
                        (names::DIRECTION, direction.into()),
                    ],
                    start,
                    time: now,
                    value,
                });
            }
        }
        points
    }

    /// The sensor's own health.
    fn health(&self, now: Timestamp) -> Vec<MetricPoint> {
        let start = self.started;
        let point = |metric: &'static Metric, value: u64| MetricPoint {
            metric,
            attributes: Vec::new(),
            start,
            time: now,
            value,
        };
        let with =
            |metric: &'static Metric, key: &'static str, label: &str, value: u64| MetricPoint {
                attributes: vec![(key, label.into())],
                ..point(metric, value)
            };
        let counters = self.kernel_counters();
        let completeness = self.pipeline.total_completeness();
        let mut points = vec![
            point(&names::PARSED_BYTES, completeness.bytes_parsed),
            point(&names::LOST_DETAIL, counters.ring_full),
            point(&names::LOST_ROWS, counters.lost_rows),
            point(&names::TRUNCATED, counters.truncated_texts),
            point(&names::ESTIMATED_ROWS, completeness.estimated_rows),
            point(&names::MERGED_PIPELINE, counters.merged_pipeline),
            point(&names::UNPARSED_STATEMENTS, self.pipeline.shapes.unparsed),
            point(&names::MALFORMED, self.pipeline.malformed),
            point(&names::UPTIME, (now.0 - start.0) / 1_000_000_000),
            point(&names::MEMORY, resident_bytes()),
            point(
                &names::CONNECTIONS,
                self.pipeline.resolver.sessions().count() as u64,
            ),
            point(
                &names::PRINCIPALS,
                self.pipeline.resolver.principals().len() as u64,
            ),
            point(&names::SHAPES, self.pipeline.shapes.len() as u64),
            point(&names::ALERTS_WITHHELD, self.pipeline.lanes.withheld),
            point(&names::LATE, self.pipeline.lanes.counters().late),
            point(&names::EXPORT_UNSAVED, self.exporter.unsaved()),
            point(&names::WINDOWS, self.pipeline.lane.windows() as u64),
        ];
        points.push(point(&names::ALERTS_SUPPRESSED, self.memory.suppressed));
        if let Some(history) = self.memory.state() {
            points.extend([
                point(
                    &names::HISTORY_STOPPED,
                    u64::from(history.stopped.is_some()),
                ),
                point(&names::HISTORY_LOST, history.lost_rows),
                point(&names::HISTORY_PRUNED, history.pruned_rows),
                point(&names::HISTORY_WRITTEN, history.written),
                point(&names::HISTORY_SIZE, history.bytes),
            ]);
        }
        for (server, volume) in &self.pipeline.pooled {
            for (metric, value) in [
                (&names::POOLED_ROWS, volume.rows()),
                (&names::POOLED_QUERIES, volume.queries),
            ] {
                points.push(with(metric, names::SERVER, server, value));
            }
        }
        for (cause, bytes) in completeness.blind() {
            points.push(with(&names::BLIND_BYTES, names::CAUSE, cause, bytes));
        }
        for (cause, bytes) in [
            ("fault", counters.fault_bytes),
            ("opaque", counters.opaque_bytes),
            ("stateless", counters.stateless_bytes),
            ("unattributed", counters.unattributed_bytes),
            ("ring", counters.lost_bytes),
        ] {
            points.push(with(&names::BLIND_BYTES, names::CAUSE, cause, bytes));
        }
        for (cause, count) in [
            ("series", self.pipeline.totals.folded()),
            ("principals", self.pipeline.resolver.folded()),
            ("shapes", self.pipeline.shapes.folded),
            ("windows", self.pipeline.lane.evicted),
        ] {
            points.push(with(&names::FOLDED, names::CAUSE, cause, count));
        }
        for (cause, count) in [
            ("ring", counters.lost_keys),
            ("cut", counters.cut_keys),
            ("under_way", self.pipeline.keys.lost),
            (
                "plans",
                self.kernel.plans.displaced + self.pipeline.plans.folded,
            ),
            ("series", self.pipeline.records.folded),
        ] {
            points.push(with(&names::LOST_KEYS, names::CAUSE, cause, count));
        }
        if let Some(readers) = &self.readers {
            points.push(point(&names::CONSOLE_READERS, readers.reading()));
            for (cause, count) in readers.dropped() {
                points.push(with(&names::CONSOLE_DROPPED, names::CAUSE, cause, count));
            }
        }
        for (threshold, severity, count) in self.exporter.alerts() {
            points.push(MetricPoint {
                attributes: vec![
                    (names::THRESHOLD, threshold.into()),
                    (names::SEVERITY, severity.into()),
                ],
                ..point(&names::ALERTS, count)
            });
        }
        let spans = self.pipeline.tracer.counts;
        for (reason, count) in [
            ("alert", spans.alert),
            ("failed", spans.failed),
            ("largest", spans.largest),
            ("application", spans.application),
            ("chance", spans.chance),
            ("left_out", spans.left_out),
        ] {
            points.push(with(&names::SPANS, names::SAMPLED_BY, reason, count));
        }
        for (cause, count) in [
            ("budget", counters.links_over_budget),
            ("ring", counters.lost_links),
            ("under_way", self.pipeline.tracer.lost_links()),
        ] {
            points.push(with(&names::UNLINKED, names::CAUSE, cause, count));
        }
        for health in self.exporter.health() {
            for (metric, value) in [
                (&names::EXPORT_DROPPED, health.counts.dropped),
                (&names::EXPORT_FAILED, health.counts.failed),
                (&names::EXPORT_WAITING, health.waiting),
            ] {
                points.push(with(metric, names::SIGNAL, health.signal, value));
            }
        }
        for program in self.kernel.statistics() {
            points.push(with(
                &names::BPF_RUN_TIME,
                names::PROGRAM,
                program.name,
                program.run_time,
            ));
            points.push(with(
                &names::BPF_RUNS,
                names::PROGRAM,
                program.name,
                program.runs,
            ));
            let misses = if program.has_second {
                &names::BPF_TAKEN_OVER
            } else {
                &names::BPF_MISSES
            };
            points.push(with(misses, names::PROGRAM, program.name, program.misses));
        }
        points
    }
}

/// Whose records, of which table.
fn records_attributes(principal: &Principal, key: &records::Key) -> Attributes {
    let mut attributes = principal_attributes(principal);
    attributes.push((names::DB_NAMESPACE, key.database.clone().into()));
    attributes.push((names::DB_COLLECTION_NAME, key.table.clone().into()));
    attributes
}

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let pages: u64 = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0);
    // SAFETY: a pure query.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * u64::try_from(size).unwrap_or(4096)
}
