//! The running sensor and its history: what it knows again at the start, and what it hands over once a second.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension as _};

use super::Live;
use crate::{
    config::Config,
    detect::{
        detector::{Detector, SNAPSHOT_VERSION},
        threshold::{Silence, recall},
    },
    export::AlertRecord,
    history::{self, AlertRow, Batch, Collector, Fates, Past, State, Store, Writer},
    pipeline::Pipeline,
    principal::PrincipalId,
    time::Timestamp,
};

/// How often history is written.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the detector's state is, at most: between, what came since is kept beside it.
const SNAPSHOTS: Duration = Duration::from_secs(600);
/// A snapshot holds the pipeline up: it may take a thousandth of the time.
const SNAPSHOT_SHARE: u32 = 1_000;
/// How far back the detector looks when it has to begin anew from volumes.
const BASELINE: Duration = Duration::from_secs(120 * 86_400);
/// How far back alerts keep their like silent (the longest window).
const ALERTS: Duration = Duration::from_secs(90 * 86_400);

/// See the module.
pub struct Memory {
    writer: Option<Writer>,
    /// What the writer had no room for yet.
    pending: Batch,
    max: usize,
    written: Instant,
    snapshot_due: Instant,
    follow_detector: bool,
    fates: Arc<Fates>,
    accepted: HashSet<i64>,
    /// Alerts of lanes that were told between the detector's last state and the restart.
    told: Vec<(String, String)>,
    /// Alerts that an acknowledgement kept silent.
    pub suppressed: u64,
}

/// Is an alert to be told?
#[derive(Clone, Copy, Debug)]
pub enum Telling {
    /// Yes.
    New,
    /// No: it was, before a restart.
    Before,
    /// No: somebody has acknowledged its like.
    Silent(Silence),
}

impl Memory {
    /// Opens the history, and fills the pipeline with what it holds. Whatever fails is told; the sensor runs on.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(config: &Config, pipeline: &mut Pipeline) -> Result<Self> {
        let follow_detector = config.detection.enabled;
        let mut memory = Self {
            writer: None,
            pending: Batch::default(),
            max: config.volumes.max_keys,
            written: Instant::now(),
            snapshot_due: Instant::now() + SNAPSHOTS,
            follow_detector,
            fates: Arc::default(),
            accepted: HashSet::new(),
            told: Vec::new(),
            suppressed: 0,
        };
        if !config.history.enabled {
            return Ok(memory);
        }
        let path = &config.history.path;
        let store = Store::open(path);
        if let Ok(store) = &store {
            let begun = Instant::now();
            match resume(store.connection(), pipeline, follow_detector) {
                Ok(resumed) => {
                    log::info!(
                        "history {}: {} in {:.1} s",
                        path.display(),
                        resumed.words,
                        begun.elapsed().as_secs_f64()
                    );
                    memory.told = resumed.told;
                    if resumed.anew {
                        memory.snapshot_due = Instant::now();
                    }
                }
                Err(error) => log::error!(
                    "history: {} can't be read back ({error:#}): windows and baselines begin anew",
                    path.display()
                ),
            }
        }
        pipeline.history = Collector::new(true, memory.max);
        let bounds = config.history.bounds.clone();
        let writer = Writer::start(path.clone(), bounds, memory.max, follow_detector, store)?;
        memory.fates = writer.fates();
        memory.writer = Some(writer);
        Ok(memory)
    }

    /// How the writer fares; `None`: history is off.
    pub fn state(&self) -> Option<State> {
        self.writer.as_ref().map(Writer::state)
    }

    /// Takes an alert in, and says whether it is to be told.
    pub fn alert(&mut self, record: &AlertRecord) -> Telling {
        if self.writer.is_none() {
            return Telling::New;
        }
        let mut row = AlertRow::new(record, None);
        let before = self
            .told
            .iter()
            .position(|(rule, subject)| *rule == row.rule && *subject == row.subject);
        if record.alert.verdict.is_some()
            && let Some(at) = before
        {
            self.told.swap_remove(at);
            return Telling::Before;
        }
        let mut telling = Telling::New;
        if let Some(fate) = self
            .fates
            .suppresses(&row.rule, &row.subject, row.time, row.observed)
        {
            row.suppressed_by = Some(fate.id);
            telling = Telling::Silent(fate.silence());
            self.suppressed += 1;
            log::info!(
                "alert {} of {} about {} is silent: it was acknowledged (sensor alerts explain {})",
                row.id,
                row.rule,
                row.user.as_deref().unwrap_or("(unknown user)"),
                row.id
            );
        }
        self.pending.alerts.push(row);
        telling
    }

    /// Hands over what has come, once a second, or at once when it is the `last` time.
    pub fn remember(&mut self, pipeline: &mut Pipeline, last: bool) {
        let Some(writer) = &self.writer else { return };
        // Those of the first look at what the detector found again have been compared.
        self.told.clear();
        if !last && self.written.elapsed() < INTERVAL {
            return;
        }
        self.written = Instant::now();
        self.fates = writer.fates();
        let mut batch = pipeline.history.take();
        let mut accepted = false;
        for (fate, principal) in self.fates.unapplied() {
            if !self.accepted.insert(fate) {
                continue;
            }
            if pipeline.lanes.accept(principal) {
                log::info!("what {principal} reads now is taken for normal, as acknowledged");
            } else {
                log::warn!("{principal} was acknowledged as normal, but has no baseline yet");
            }
            batch.applied.push(fate);
            accepted = true;
        }
        if self.follow_detector && (last || accepted || self.snapshot_due <= Instant::now()) {
            let begun = Instant::now();
            let state = pipeline.lanes.detector().snapshot();
            let pause = SNAPSHOTS.max(begun.elapsed() * SNAPSHOT_SHARE);
            self.snapshot_due = Instant::now() + pause;
            batch.detector = Some((state, SNAPSHOT_VERSION, Timestamp::now()));
        }
        let mut all = std::mem::take(&mut self.pending);
        all.lost_rows += all.absorb(batch, self.max);
        if all.is_empty() && all.lost_rows == 0 {
            // The writer also has upkeep to do, and looks for acknowledgements.
            all = Batch::default();
        }
        if let Some(back) = writer.send(all) {
            self.pending = back;
        }
    }

    /// Writes the last of it.
    pub fn finish(mut self, pipeline: &mut Pipeline, patience: Duration) {
        self.remember(pipeline, true);
        let Some(writer) = self.writer.take() else {
            return;
        };
        if !self.pending.is_empty() {
            // The queue was full: wait for it.
            let deadline = Instant::now() + patience;
            let mut rest = Some(std::mem::take(&mut self.pending));
            while let Some(batch) = rest.take() {
                rest = writer.send(batch);
                if Instant::now() > deadline {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        if !writer.finish(patience) {
            log::error!("history: the last seconds could not be written within {patience:?}");
        }
    }
}

impl Live {
    /// What history asks for now and then.
    pub(super) fn remember(&mut self) {
        self.memory.remember(&mut self.pipeline, false);
    }
}

/// What was known again.
struct Resumed {
    words: String,
    told: Vec<(String, String)>,
    /// The detector has no stored state.
    anew: bool,
}

fn resume(
    connection: &Connection,
    pipeline: &mut Pipeline,
    follow_detector: bool,
) -> Result<Resumed> {
    let now = Timestamp::now();
    let mut past = Past::new(connection)?;
    let sums = recall_windows(connection, &mut past, pipeline, now)?;
    let mut resumed = Resumed {
        words: format!("windows hold {sums} sums"),
        told: Vec::new(),
        anew: false,
    };
    if !follow_detector {
        return Ok(resumed);
    }
    let stored: Option<(i64, Vec<u8>)> = connection
        .query_row("SELECT time, state FROM detector", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let restored = stored.and_then(|(time, state)| {
        match Detector::restore(pipeline.lanes.config(), &pipeline.sizes, &state) {
            Ok(detector) => Some((time, detector)),
            Err(error) => {
                log::warn!("history: {error}; they are made from the volumes of {BASELINE:?}");
                None
            }
        }
    });
    let Pipeline {
        resolver,
        shapes,
        lanes,
        ..
    } = pipeline;
    let mut numbers = (resolver, shapes);
    if let Some((time, detector)) = restored {
        lanes.resume(detector);
        let mut since = 0u64;
        past.since_detector(&mut numbers, |access, principal| {
            lanes.observe(access, principal);
            since += 1;
        })?;
        let from = Timestamp(u64::try_from(time).unwrap_or(0) * 1_000_000_000);
        resumed.told = AlertRow::between(connection, from, Timestamp(u64::MAX))?
            .into_iter()
            .map(|alert| (alert.rule, alert.subject))
            .collect();
        resumed.words += &format!(", baselines are as of {from} and {since} sums since then");
    } else {
        resumed.anew = true;
        let mut sums = 0u64;
        past.accesses(now - BASELINE, now, &mut numbers, |_, access, principal| {
            lanes.observe(access, principal);
            sums += 1;
        })?;
        if sums > 0 {
            // What there was to tell was told when it happened.
            pipeline.advance(now);
            pipeline.take_alerts();
        }
        resumed.words += &format!(", baselines are made of {sums} sums");
    }
    Ok(resumed)
}

/// Fills the thresholds' windows.
fn recall_windows(
    connection: &Connection,
    past: &mut Past<'_>,
    pipeline: &mut Pipeline,
    now: Timestamp,
) -> Result<u64> {
    let Pipeline {
        resolver,
        shapes,
        lane,
        sizes,
        ..
    } = pipeline;
    // A day's sum that began before the window may have ended in it.
    let from = now - lane.longest_window() - Duration::from_secs(86_400);
    let horizon = now - lane.longest_window();
    let mut numbers = (&mut *resolver, shapes);
    let mut sums = 0u64;
    past.accesses(from, now, &mut numbers, |_, access, principal| {
        if access.time >= horizon {
            lane.recall(access, principal, sizes);
            sums += 1;
        }
    })?;
    let principals: HashMap<String, PrincipalId> = resolver
        .principals()
        .iter()
        .zip(0..)
        .map(|(principal, number)| (history::subject(principal), PrincipalId(number)))
        .collect();
    let raised: Vec<recall::Raised> = AlertRow::between(connection, now - ALERTS, now)?
        .into_iter()
        // What nobody was told is raised anew, and held against what was acknowledged.
        .filter(|alert| alert.suppressed_by.is_none())
        .filter_map(|alert| {
            Some(recall::Raised {
                principal: *principals.get(&alert.subject)?,
                rule: alert.rule.into(),
                table: alert.tables.first().map(|table| table.as_str().into()),
                time: alert.time,
                observed: alert.observed,
            })
        })
        .collect();
    lane.recalled(&raised);
    Ok(sums)
}
