//! What is remembered of a principal.

use serde::{Deserialize, Serialize};

use super::tally::{Displaced, Sum, Tally};
use crate::detect::{
    coverage::Coverage,
    drift::{Quantity, Series},
    eprocess::{Mixture, log_mean_exp},
    evidence::{Evidence, EvidenceSet, Habits},
    fast::Fast,
    focus::{self, Focus},
    hash_text,
    observation::Observation,
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

impl Recent {
    fn is_of(&self, sum: &Sum) -> bool {
        self.rows > 0.0 && self.fingerprint == sum.fingerprint
    }

    fn add(&mut self, sum: &Sum) {
        self.fingerprint = sum.fingerprint;
        self.table = sum.table;
        self.rows += sum.rows as f32;
        self.statements += sum.statements as f32;
    }
}

impl PrincipalState {
    /// Begins the day's tally when the one in its place is another day's. Says whether it did.
    pub fn begin(&mut self, day: u32) -> bool {
        let tally = &mut self.tallies[(day & 1) as usize];
        let begins = tally.day != day;
        if begins {
            *tally = Tally::new(day);
        }
        begins
    }

    /// Adds an observation to a day that has begun.
    pub fn add(
        &mut self,
        day: u32,
        observation: &Observation<'_>,
        table: (u32, u32),
        displaced: Displaced,
    ) {
        let tally = &mut self.tallies[(day & 1) as usize];
        tally.add(observation, table, displaced);
        if tally.walked() {
            self.witness(Evidence::KeyWalk, day);
        }
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

    /// Notes where an observation comes from: is the host new to it, is the table?
    pub fn visit(
        &mut self,
        (host, table): (u32, u32),
        day: u32,
        observation: &Observation<'_>,
    ) -> (bool, bool) {
        let [hosts, tables] = &mut self.tallies[(day & 1) as usize].details_mut().seen;
        (
            self.habits
                .host(host, day, hosts, || hash_text(observation.host)),
            self.habits.table(table, day, tables, || {
                hash_text(observation.tables.first().copied().unwrap_or_default())
            }),
        )
    }

    /// A day is over: what its sums say of hosts, tables and statements.
    pub fn settle(&mut self, day: u32) {
        let tally = &mut self.tallies[(day & 1) as usize];
        self.focus.statements += tally.queries as f32;
        let details = tally.details_mut();
        self.habits.settle(day, &details.seen);
        let mut today = std::mem::take(&mut details.statements);
        today.sort_unstable_by_key(|sum| (std::cmp::Reverse(sum.rows), sum.fingerprint));
        self.recall(&today);
    }

    /// A day is judged: of it, what has been settled is all that stays.
    pub fn close(&mut self, day: u32) {
        self.tallies[(day & 1) as usize].close();
    }

    /// Adds a day's statements, those with the most rows first, to those that are remembered, or puts them in place of
    /// one that brings less a day.
    fn recall(&mut self, today: &[Sum]) {
        let mut fresh = Vec::new();
        for sum in today {
            match self.recent.iter_mut().find(|recent| recent.is_of(sum)) {
                Some(recent) => recent.add(sum),
                None => fresh.push(sum),
            }
        }
        for sum in fresh {
            let Some(least) = self.recent.iter_mut().min_by(|a, b| {
                a.rows
                    .total_cmp(&b.rows)
                    .then(a.fingerprint.cmp(&b.fingerprint))
            }) else {
                return;
            };
            let rows = today
                .iter()
                .find(|sum| least.is_of(sum))
                .map_or(0.0, |sum| sum.rows as f32);
            if sum.rows as f32 <= rows.max(least.rows * (1.0 - FADES)) {
                return;
            }
            *least = Recent::default();
            least.add(sum);
        }
    }

    /// The statements that most of the newest rows came by, the open days' included, most first.
    pub fn statements(&self) -> Vec<Recent> {
        let mut all: Vec<Recent> = self
            .recent
            .iter()
            .filter(|r| r.rows > 0.0)
            .copied()
            .collect();
        for sum in self.tallies.iter().flat_map(Tally::statements) {
            match all.iter_mut().find(|recent| recent.is_of(sum)) {
                Some(recent) => recent.add(sum),
                None => {
                    let mut recent = Recent::default();
                    recent.add(sum);
                    all.push(recent);
                }
            }
        }
        all.sort_unstable_by(|a, b| {
            b.rows
                .total_cmp(&a.rows)
                .then(a.fingerprint.cmp(&b.fingerprint))
        });
        all
    }

    /// The table that most of the newest rows came from.
    pub fn table(&self) -> Option<(u32, u32)> {
        self.statements().first().map(|recent| recent.table)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A day of statements and how often each ran, two rows each.
    fn day(principal: &mut PrincipalState, statements: &[(u64, u32)]) {
        let mut today: Vec<Sum> = statements
            .iter()
            .map(|(fingerprint, count)| Sum {
                fingerprint: *fingerprint,
                table: (0, 0),
                rows: 2 * count,
                statements: *count,
            })
            .collect();
        today.sort_unstable_by_key(|sum| std::cmp::Reverse(sum.rows));
        principal.recall(&today);
        principal.fade();
    }

    fn known(principal: &PrincipalState) -> Vec<u64> {
        let known = principal.statements().into_iter();
        known.map(|recent| recent.fingerprint).collect()
    }

    #[test]
    fn what_most_came_by_is_remembered_and_one_busy_day_of_another_does_not_push_out_the_commonest()
    {
        let mut ann = PrincipalState::default();
        for _ in 0..20 {
            day(&mut ann, &[(1, 24), (2, 8), (3, 4), (4, 4)]);
        }
        assert_eq!(known(&ann), [1, 2]);
        day(&mut ann, &[(1, 2), (2, 1), (3, 90), (4, 80)]);
        assert_eq!(known(&ann), [1, 3]);
    }

    #[test]
    fn a_statement_that_takes_the_place_of_another_is_known_at_once() {
        let mut ann = PrincipalState::default();
        for _ in 0..20 {
            day(&mut ann, &[(1, 24), (2, 8), (3, 4), (4, 4)]);
        }
        for _ in 0..8 {
            day(&mut ann, &[(11, 24), (2, 8), (3, 4), (4, 4)]);
        }
        assert_eq!(known(&ann), [11, 1]);
    }
}
