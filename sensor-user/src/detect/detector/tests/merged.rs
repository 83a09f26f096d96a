//! Several hosts that each hold a part of what a principal reads, merged with their clocks slightly apart.

use super::*;
use crate::detect::mix;

/// An hour of one person and statement.
#[derive(Clone, Copy, Debug)]
struct Hour {
    who: usize,
    day: u32,
    hour: u32,
    minute: u64,
    host: usize,
    fingerprint: u64,
    rows: u64,
    queries: u64,
    /// First key; there are as many as rows. `None`: only rows are known.
    keys: Option<u64>,
}

const PEOPLE: usize = 48;
const DAYS: u32 = 130;
/// Begins to look up more by one statement.
const THIEF: usize = 5;
/// Comes at night.
const NIGHT: usize = 17;
/// Is not there before.
const HIRE: usize = 31;
/// Eight people's account.
const SHARED: usize = 40;
const CHANGE: u32 = 90;

impl Hour {
    fn time(self) -> u64 {
        u64::from(FIRST + self.day) * 86_400 + u64::from(self.hour) * 3600 + self.minute * 60
    }

    fn feed(self, detector: &mut Detector, verdicts: &mut Vec<Verdict>) {
        let (name, group) = (format!("p{:03}", self.who), format!("g{}", self.who % 4));
        let host = format!("h{}", self.host);
        let keys: Vec<u64> = self
            .keys
            .iter()
            .flat_map(|first| (0..self.rows).map(move |at| mix(first + at)))
            .collect();
        detector.observe(
            &Observation {
                time: Timestamp(self.time() * 1_000_000_000),
                principal: &name,
                group: &group,
                host: &host,
                os_user: if self.who.is_multiple_of(9) {
                    "ops"
                } else {
                    ""
                },
                database: "support",
                tables: &["customers"],
                operation: "SELECT",
                fingerprint: self.fingerprint,
                rows: self.rows,
                statement_rows: None,
                bytes: self.rows * 150,
                queries: self.queries,
                keys: match self.keys {
                    Some(_) => Keys::Hashes(&keys),
                    None => Keys::Unknown,
                },
                key_order: Default::default(),
            },
            verdicts,
        );
    }

    /// As three hosts would tell it.
    fn cut(self) -> [Self; 3] {
        let third = |value: u64, part: u64| value * (part + 1) / 3 - value * part / 3;
        [0, 1, 2].map(|part| Self {
            rows: third(self.rows, part),
            queries: third(self.queries, part),
            keys: self.keys.map(|first| first + self.rows * part / 3),
            ..self
        })
    }
}

/// Some weeks of a desk with several kinds of thieves, in order of time.
fn desk() -> Vec<Hour> {
    let mut random = Random(77);
    let mut hours = Vec::new();
    for day in (0..DAYS).filter(|day| (FIRST + day + 3) % 7 < 5) {
        for who in (0..PEOPLE).filter(|who| *who != HIRE || day >= CHANGE) {
            let usual = 40.0 * (0.35 * random.normal()).exp();
            let users = if who == SHARED { 8 } else { 1 };
            for user in 0..users {
                for hour in [8, 9, 11, 14, 16] {
                    for (rank, share) in [(0, 0.6), (1, 0.2), (2, 0.1), (3, 0.1)] {
                        let mut queries = usual * share / 5.0 * (0.3 * random.normal()).exp();
                        if [THIEF, HIRE].contains(&who) && day >= CHANGE && rank == 0 {
                            queries += 20.0;
                        }
                        let queries = queries.round() as u64;
                        if queries == 0 {
                            continue;
                        }
                        hours.push(Hour {
                            who,
                            day,
                            hour,
                            minute: random.bits() % 60,
                            host: who * 10 + user,
                            // A deployment changes the commonest now and then.
                            fingerprint: mix((rank << 8) | (u64::from(day) / (40 + 20 * rank))),
                            rows: 1 + random.bits() % (3 * queries),
                            queries,
                            keys: (who % 3 > 0).then(|| random.bits() >> 16),
                        });
                    }
                }
            }
            if who == NIGHT && day >= CHANGE {
                hours.push(Hour {
                    who,
                    day,
                    hour: 22,
                    minute: 5,
                    host: 999,
                    fingerprint: 1,
                    rows: 300,
                    queries: 150,
                    keys: None,
                });
            }
        }
    }
    hours.sort_by_key(|hour| hour.time());
    hours
}

/// The verdicts, and of each name what the tests hold.
fn judged(hours: &[Hour]) -> (Vec<Verdict>, BTreeMap<String, String>) {
    let (mut detector, mut verdicts) = (detector(), Vec::new());
    for hour in hours {
        hour.feed(&mut detector, &mut verdicts);
    }
    detector.finish(&mut verdicts);
    // Which of several new ones came first is told as evidence.
    for verdict in &mut verdicts {
        verdict.evidence.clear();
        verdict.explanation.clear();
    }
    let state = &detector.state;
    let held = state
        .principals
        .iter()
        .zip(0u32..)
        .map(|(principal, id)| {
            let held = format!(
                "{:?} {:?} {:?} {:?} {:?}",
                principal.series,
                principal.drift_log(state.focus_spread),
                principal.statements(),
                principal
                    .coverage
                    .iter()
                    .map(|c| c.records(3, FIRST + DAYS))
                    .sum::<f64>(),
                principal.off_hours,
            );
            (state.names.text(id).to_string(), held)
        })
        .collect();
    (verdicts, held)
}

#[test]
fn records_cut_in_three_and_shuffled_within_their_hour_change_nothing() {
    let whole = desk();
    let expected = judged(&whole);
    let told = told(&expected.0);
    for who in [THIEF, NIGHT, HIRE] {
        assert!(told.contains_key(&format!("p{who:03}")), "{who}: {told:?}");
    }
    let mut random = Random(1);
    let mut cut: Vec<(u64, u64, Hour)> = whole
        .iter()
        .flat_map(|hour| hour.cut())
        .map(|hour| (hour.time() / 3600, random.bits(), hour))
        .collect();
    cut.sort_unstable_by_key(|(hour, order, _)| (*hour, *order));
    let cut: Vec<Hour> = cut.into_iter().map(|(_, _, hour)| hour).collect();
    let found = judged(&cut);
    assert_eq!(found.0, expected.0);
    assert_eq!(found.1, expected.1);
}
