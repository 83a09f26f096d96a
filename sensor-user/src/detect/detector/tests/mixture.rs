//! More of the same work, and more of one statement beside it.

use super::*;

/// Statements of the desk, and how often each is run.
const SHARES: [(u64, f64); 4] = [(1, 0.6), (2, 0.2), (3, 0.12), (4, 0.08)];
const PEOPLE: usize = 60;
/// Of so many people one has more work, and one is a thief: these.
const EVERY: usize = 15;
/// See `EVERY`.
const WORK: usize = 0;
/// See `EVERY`.
const THEFT: usize = 7;
/// The day of the change.
const CHANGE: u32 = 120;

/// Feeds an hour of one statement.
fn feed(
    detector: &mut Detector,
    verdicts: &mut Vec<Verdict>,
    who: usize,
    day: u32,
    of: (u64, u64),
) {
    let (name, group) = (format!("p{who:03}"), format!("g{}", who % 3));
    let (fingerprint, queries) = of;
    detector.observe(
        &Observation {
            time: Timestamp((u64::from(FIRST + day) * 86_400 + 11 * 3600) * 1_000_000_000),
            principal: &name,
            group: &group,
            host: &name,
            os_user: "",
            database: "support",
            tables: &["customers"],
            operation: "SELECT",
            fingerprint,
            rows: 2 * queries,
            statement_rows: Some(2),
            bytes: 300 * queries,
            queries,
            keys: Keys::Count(2 * queries),
            key_order: Default::default(),
        },
        verdicts,
    );
}

#[test]
fn as_much_again_by_one_statement_is_told_of_sooner_than_by_all() {
    let (mut detector, mut verdicts) = (detector(), Vec::new());
    let mut random = Random(5);
    for day in (0..CHANGE + 84).filter(|day| (FIRST + day + 3) % 7 < 5) {
        for who in 0..PEOPLE {
            let usual = 40.0 * (0.35 * random.normal()).exp();
            // Some get twice the work; some begin to look up as much beside their work.
            let (factor, more) = match who % EVERY {
                WORK if day >= CHANGE => (2.0, 0.0),
                THEFT if day >= CHANGE => (1.0, 40.0),
                _ => (1.0, 0.0),
            };
            for (statement, share) in SHARES {
                let extra = if statement == 1 { more } else { 0.0 };
                let queries = usual * factor * share * (0.15 * random.normal()).exp() + extra;
                feed(
                    &mut detector,
                    &mut verdicts,
                    who,
                    day,
                    (statement, queries.round() as u64),
                );
            }
        }
    }
    detector.finish(&mut verdicts);
    let told = told(&verdicts);
    let delays = |which: usize| {
        let mut delays: Vec<u32> = (0..PEOPLE)
            .filter(|who| who % EVERY == which)
            .map(|who| {
                let told = told.get(&format!("p{who:03}"));
                told.map_or(u32::MAX, |(day, _)| day.saturating_sub(CHANGE))
            })
            .collect();
        delays.sort_unstable();
        delays
    };
    let (work, theft) = (delays(WORK), delays(THEFT));
    // Four of each.
    assert!(theft[2] < work[2] && theft[2] < 30, "{theft:?} {work:?}");
    let innocent = (0..PEOPLE)
        .filter(|who| ![WORK, THEFT].contains(&(who % EVERY)))
        .filter(|who| told.contains_key(&format!("p{who:03}")));
    assert!(innocent.count() <= 2, "{told:?}");
}
