//! What is remembered of a principal.

use serde::{Deserialize, Serialize};

use crate::detect::{
    coverage::Coverage,
    drift::{Quantity, Series},
    eprocess::{Mixture, log_mean_exp},
    evidence::{Evidence, EvidenceSet, Habits},
    fast::Fast,
    focus::{self, Focus},
    observation::{Keys, Observation},
    sketch::Distinct,
};

/// Statement shapes remembered for explanations.
const RECENT: usize = 2;
/// What is left a day later of what was read lately.
const FADES: f32 = 0.9;
/// So much more of all statements is worth a sentence.
const CLEARLY: f32 = 0.08;
/// Active days before the mixture of statements is known.
const SETTLED: u16 = 20;
/// Days for which evidence stands in alerts.
const EVIDENCE_DAYS: u32 = 7;
/// Hashes kept of a day's records: an error of a tenth above, none below.
const DAY_SKETCH: usize = 128;

/// One principal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PrincipalState {
    /// Its peers' number.
    pub group: u32,
    /// First and last active day.
    pub first_day: u32,
    /// See `first_day`.
    pub last_day: u32,
    /// The last active day that was judged.
    pub judged_day: u32,
    /// Amounts of the days that are still open, by the parity of the day.
    pub tallies: [Tally; 2],
    /// One for each quantity.
    pub series: [Series; Quantity::ALL.len()],
    /// Minutes and hours.
    pub fast: Fast,
    /// Hosts and tables it is known for.
    pub habits: Habits,
    /// The test of rows off the usual hours.
    pub off_hours: Mixture,
    /// Evidence of the last days, and the newest day of it.
    pub evidence: (EvidenceSet, u32),
    /// What it has seen of sensitive tables.
    pub coverage: Vec<Coverage>,
    /// Statement shapes that most of the newest rows came by.
    pub recent: [Recent; RECENT],
    /// How much of its work the commonest of them used to be.
    pub focus: Focus,
}

/// Amounts of a day.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Which day; the tally counts only while this is right.
    pub day: u32,
    /// Rows; saturates.
    pub rows: u32,
    /// Statements.
    pub queries: u32,
    /// Bytes.
    pub bytes: u64,
    /// Rows off the usual hours.
    pub off_hours: u32,
    /// Rows by client hosts that are new to it.
    pub new_hosts: u32,
    /// Records that only a count is known of.
    pub counted: u32,
    /// Records whose hashes are known.
    pub keys: Option<Box<Distinct>>,
}

/// What is not as usual about where and when an observation comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Displaced {
    /// At an hour when its group does next to nothing.
    pub off_hours: bool,
    /// From a client host that is new to it.
    pub new_host: bool,
}

/// A statement shape's part in what was read lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// Fingerprint.
    pub fingerprint: u64,
    /// Rows, with old days fading.
    pub rows: f32,
    /// Statements, likewise.
    pub statements: f32,
    /// Database and table, numbers.
    pub table: (u32, u32),
}

/// Adds, and stays at the most there is.
fn add(sum: &mut u32, amount: u64) {
    *sum = sum.saturating_add(u32::try_from(amount).unwrap_or(u32::MAX));
}

impl Tally {
    /// Adds an observation.
    pub fn add(&mut self, observation: &Observation<'_>, displaced: Displaced) {
        add(&mut self.rows, observation.rows);
        add(&mut self.queries, observation.queries);
        if displaced.off_hours {
            add(&mut self.off_hours, observation.rows);
        }
        if displaced.new_host {
            add(&mut self.new_hosts, observation.rows);
        }
        self.bytes += observation.bytes;
        match observation.keys {
            Keys::Hashes(hashes) => {
                let sketch = self.keys.get_or_insert_with(Box::default);
                for hash in hashes {
                    sketch.insert(*hash, 0, DAY_SKETCH);
                }
            }
            Keys::Count(_) | Keys::Unknown => add(&mut self.counted, observation.counted()),
        }
    }

    /// The day's amount.
    pub fn amount(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::Records => {
                f64::from(self.counted) + self.keys.as_ref().map_or(0.0, |keys| keys.count(0))
            }
            Quantity::Rows => f64::from(self.rows),
            Quantity::Statements => f64::from(self.queries),
            Quantity::Bytes => self.bytes as f64,
        }
    }
}

impl PrincipalState {
    /// The day's tally, begun anew when it still holds another day's. Says whether it was begun.
    pub fn tally(&mut self, day: u32) -> (&mut Tally, bool) {
        let tally = &mut self.tallies[(day & 1) as usize];
        let begun = tally.day != day;
        if begun {
            *tally = Tally {
                day,
                ..Tally::default()
            };
        }
        (tally, begun)
    }

    /// Notes evidence; what is older than a week is forgotten.
    pub fn witness(&mut self, evidence: Evidence, day: u32) {
        if self.evidence.1 + EVIDENCE_DAYS < day {
            self.evidence.0 = EvidenceSet::default();
        }
        self.evidence.0.insert(evidence);
        self.evidence.1 = self.evidence.1.max(day);
    }

    /// Evidence that is still fresh.
    pub fn fresh_evidence(&self) -> EvidenceSet {
        if self.evidence.1 + EVIDENCE_DAYS < self.last_day {
            EvidenceSet::default()
        } else {
            self.evidence.0
        }
    }

    /// Remembers by which statement rows came.
    pub fn remember(&mut self, table: (u32, u32), observation: &Observation<'_>) {
        let fingerprint = observation.fingerprint;
        let (rows, statements) = (observation.rows as f32, observation.queries as f32);
        self.focus.statements += statements;
        if let Some(known) = self
            .recent
            .iter_mut()
            .find(|recent| recent.fingerprint == fingerprint)
        {
            known.rows += rows;
            known.statements += statements;
            return;
        }
        if let Some(least) = self
            .recent
            .iter_mut()
            .min_by(|a, b| a.rows.total_cmp(&b.rows))
            && least.rows < rows
        {
            *least = Recent {
                fingerprint,
                rows,
                statements,
                table,
            };
        }
    }

    /// Bytes it takes beside sketches.
    pub const fn fixed_bytes() -> usize {
        size_of::<Self>()
    }

    /// A day is over: what was read before weighs less.
    pub fn fade(&mut self) {
        let commonest = self.commonest();
        self.focus.close(commonest, self.series[0].days());
        self.focus.statements *= FADES;
        for recent in &mut self.recent {
            recent.rows *= FADES;
            recent.statements *= FADES;
        }
    }

    /// How often the commonest statement ran lately.
    fn commonest(&self) -> f32 {
        self.recent
            .iter()
            .map(|recent| recent.statements)
            .fold(0.0, f32::max)
    }

    /// How much more of one statement than it used to be, if there is a past to compare with.
    pub fn shifted(&self) -> Option<f32> {
        (self.series[0].days() > SETTLED)
            .then(|| self.focus.shift(self.commonest()))
            .flatten()
    }

    /// Shares of the commonest statement lately and usually, where it has become clearly more.
    pub fn focused(&self) -> Option<(f32, f32)> {
        self.shifted()?;
        let (share, usual) = self.focus.shares(self.commonest());
        (share >= usual + CLEARLY).then_some((share, usual))
    }

    /// Logarithm of the drift test's statistic, over all quantities, and what a bet on the mixture of statements adds.
    pub fn drift_log(&self, spread: f32) -> f32 {
        let log = log_mean_exp(std::array::from_fn::<f32, { Quantity::ALL.len() }, _>(
            |at| self.series[at].log(),
        ));
        log + self
            .shifted()
            .map_or(0.0, |shift| focus::bet(shift, spread))
    }
}
