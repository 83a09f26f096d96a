//! Sums of a principal's open day. They are whole numbers, and what is kept of many is chosen by hashes, so that it
//! matters neither how amounts were cut into records nor in which order these came.

use serde::{Deserialize, Serialize};

use crate::detect::{
    drift::Quantity,
    evidence::{Seen, WALK},
    mix,
    observation::{KeyOrder, Keys, Observation},
    sketch::Distinct,
};

/// Hashes kept of a day's records: an error of a tenth above, none below.
const DAY_SKETCH: usize = 128;
/// Statements kept of a day: of more, a random choice, which is another one each day.
const STATEMENTS: usize = 24;

/// Amounts of a day.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Which day; the tally counts only while this is right.
    pub day: u32,
    /// Rows; saturates.
    pub rows: u32,
    /// Statements.
    pub queries: u32,
    /// Records that only a count is known of.
    counted: u32,
    /// Bytes.
    pub bytes: u64,
    /// Until the day is closed.
    details: Option<Box<Details>>,
}

/// What is needed of a day until it is closed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Details {
    /// Rows off the usual hours.
    pub off_hours: u32,
    /// Rows by client hosts that are new to it.
    pub new_hosts: u32,
    /// Rows of ascending walks.
    pub(super) walked: u32,
    /// Client hosts and tables.
    pub seen: [Seen; 2],
    /// See [`Sum`].
    pub(super) statements: Vec<Sum>,
    /// Records whose hashes are known.
    pub(super) keys: Option<Distinct>,
}

/// A statement's part of a day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// Fingerprint.
    pub fingerprint: u64,
    /// Database and table, numbers.
    pub table: (u32, u32),
    /// Rows; saturates.
    pub rows: u32,
    /// How often it ran.
    pub statements: u32,
}

/// What is not as usual about where and when an observation comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Displaced {
    /// At an hour when its group does next to nothing.
    pub off_hours: bool,
    /// From a client host that is new to it.
    pub new_host: bool,
}

/// Adds, and stays at the most there is.
fn add(sum: &mut u32, amount: u64) {
    *sum = sum.saturating_add(u32::try_from(amount).unwrap_or(u32::MAX));
}

impl Tally {
    /// Nothing of a day yet.
    pub fn new(day: u32) -> Self {
        Self {
            day,
            ..Self::default()
        }
    }

    /// Adds an observation.
    pub fn add(&mut self, observation: &Observation<'_>, table: (u32, u32), displaced: Displaced) {
        add(&mut self.rows, observation.rows);
        add(&mut self.queries, observation.queries);
        self.bytes = self.bytes.saturating_add(observation.bytes);
        let day = self.day;
        let details = self.details.get_or_insert_default();
        if displaced.off_hours {
            add(&mut details.off_hours, observation.rows);
        }
        if displaced.new_host {
            add(&mut details.new_hosts, observation.rows);
        }
        if observation.key_order == KeyOrder::Ascending {
            add(&mut details.walked, observation.rows);
        }
        details.remember(day, observation, table);
        match observation.keys {
            Keys::Hashes(hashes) => {
                let sketch = details.keys.get_or_insert_default();
                for hash in hashes {
                    sketch.insert(*hash, 0, DAY_SKETCH);
                }
            }
            Keys::Count(_) | Keys::Unknown => add(&mut self.counted, observation.counted()),
        }
    }

    /// The day's amount; distinct records only while it is open.
    pub fn amount(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::Records => {
                let keys = self.details().and_then(|details| details.keys.as_ref());
                f64::from(self.counted) + keys.map_or(0.0, |keys| keys.count(0))
            }
            Quantity::Rows => f64::from(self.rows),
            Quantity::Statements => f64::from(self.queries),
            Quantity::Bytes => self.bytes as f64,
        }
    }

    /// See [`Details`].
    pub fn details(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    /// The same, to note hosts and tables.
    pub fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// The statements that are kept, in no order.
    pub fn statements(&self) -> &[Sum] {
        self.details().map_or(&[], |details| &details.statements)
    }

    /// Has it walked far enough for evidence?
    pub fn walked(&self) -> bool {
        self.details().is_some_and(|details| details.walked >= WALK)
    }

    /// The day is judged: its sums are all that stays.
    pub fn close(&mut self) {
        self.details = None;
    }
}

impl Details {
    /// Adds to a statement's sum. Those with the smallest hashes stay, so that the sums of those that are there are whole.
    fn remember(&mut self, day: u32, observation: &Observation<'_>, table: (u32, u32)) {
        let fingerprint = observation.fingerprint;
        let known = |sum: &Sum| sum.fingerprint == fingerprint;
        let at = match self.statements.iter().position(known) {
            Some(at) => at,
            None => {
                let fresh = Sum {
                    fingerprint,
                    table,
                    rows: 0,
                    statements: 0,
                };
                if self.statements.len() < STATEMENTS {
                    self.statements.push(fresh);
                    self.statements.len() - 1
                } else {
                    let order = |sum: &Sum| mix(sum.fingerprint ^ mix(u64::from(day)));
                    let largest = (0..STATEMENTS).max_by_key(|at| order(&self.statements[*at]));
                    match largest.filter(|at| order(&self.statements[*at]) > order(&fresh)) {
                        Some(at) => {
                            self.statements[at] = fresh;
                            at
                        }
                        None => return,
                    }
                }
            }
        };
        let sum = &mut self.statements[at];
        // One text may stand for tables of several databases.
        sum.table = sum.table.min(table);
        add(&mut sum.rows, observation.rows);
        add(&mut sum.statements, observation.queries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn observation(fingerprint: u64, rows: u64, queries: u64) -> Observation<'static> {
        Observation {
            time: Timestamp(0),
            principal: "ann",
            group: "",
            host: "h",
            os_user: "",
            database: "support",
            tables: &[],
            operation: "SELECT",
            fingerprint,
            rows,
            statement_rows: None,
            bytes: rows * 100,
            queries,
            keys: Keys::Unknown,
            key_order: KeyOrder::Ascending,
        }
    }

    fn sums(observations: &[Observation<'_>]) -> (Vec<Sum>, [f64; 4], bool) {
        let mut tally = Tally::new(20_000);
        for observation in observations {
            tally.add(observation, (1, 2), Displaced::default());
        }
        let mut statements = tally.statements().to_vec();
        statements.sort_by_key(|sum| sum.fingerprint);
        let amounts = Quantity::ALL.map(|quantity| tally.amount(quantity));
        (statements, amounts, tally.walked())
    }

    #[test]
    fn neither_order_nor_how_amounts_are_cut_matters() {
        // More statements than are kept, several times each.
        let whole: Vec<_> = (0..400u64)
            .map(|at| observation(mix(at % 61), at % 7, 1 + at % 3))
            .collect();
        let mut cut: Vec<_> = whole
            .iter()
            .flat_map(|one| {
                let third = |value: u64, part: u64| value * (part + 1) / 3 - value * part / 3;
                [0, 1, 2].map(|part| {
                    observation(
                        one.fingerprint,
                        third(one.rows, part),
                        third(one.queries, part),
                    )
                })
            })
            .collect();
        assert_eq!(sums(&whole), sums(&cut));
        for seed in 0..20u64 {
            cut.sort_by_key(|one| mix(one.fingerprint ^ mix(one.rows << 8 | seed)));
            assert_eq!(sums(&whole), sums(&cut), "shuffled by {seed}");
        }
        assert_eq!(sums(&whole).0.len(), STATEMENTS);
    }

    #[test]
    fn an_open_day_takes_little() {
        let details = size_of::<Details>() + STATEMENTS * size_of::<Sum>();
        assert!(details <= 1024, "{details}");
    }
}
