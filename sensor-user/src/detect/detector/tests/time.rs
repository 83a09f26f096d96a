//! Clocks, restarts, records out of order.

use super::*;

fn change(who: usize, day: u32, usual: f64) -> f64 {
    usual + if who == 3 && day >= 70 { 300.0 } else { 0.0 }
}

#[test]
fn killing_and_restoring_changes_nothing() {
    let run = |restart: bool| {
        let mut people = People::new(40, 0.3, 0.4, 41);
        let (mut detector, mut verdicts) = (detector(), Vec::new());
        for day in 0..100 {
            people.day(day, &mut detector, &mut verdicts, change);
            if restart {
                let bytes = detector.snapshot();
                detector = Detector::restore(&detector.config, &detector.sizes, &bytes)
                    .expect("its own snapshot");
                assert_eq!(detector.snapshot(), bytes, "day {day}");
            }
        }
        detector.finish(&mut verdicts);
        (verdicts, detector.snapshot())
    };
    let (whole, restarted) = (run(false), run(true));
    assert!(!whole.0.is_empty());
    assert_eq!(whole.0, restarted.0);
    assert!(whole.1 == restarted.1);
}

#[test]
fn a_wrong_snapshot_is_refused() {
    let detector = detector();
    let bytes = detector.snapshot();
    let restore = |bytes: &[u8]| {
        Detector::restore(&detector.config, &detector.sizes, bytes)
            .map(|_| ())
            .expect_err("refused")
    };
    assert_eq!(restore(b"nothing"), SnapshotError::NoSnapshot);
    let mut damaged = bytes.clone();
    *damaged.last_mut().expect("not empty") ^= 1;
    assert_eq!(restore(&damaged), SnapshotError::Damaged);
    let mut newer = bytes;
    newer[6] = 99;
    assert_eq!(restore(&newer), SnapshotError::Version(99));
}

#[test]
fn a_clock_that_steps_does_no_harm() {
    let mut people = People::new(40, 0.3, 0.4, 42);
    let (mut detector, mut verdicts) = (detector(), Vec::new());
    for day in 0..90 {
        people.day(day, &mut detector, &mut verdicts, |_, _, usual| usual);
        // One host's clock is a year ahead, another's a month behind.
        for (who, day) in [
            ("ahead", FIRST + day + 365),
            ("behind", (FIRST + day).saturating_sub(30)),
        ] {
            Read {
                who,
                group: "g0",
                host: "h",
                day,
                hour: 10,
                rows: 20,
            }
            .feed(&mut detector, &mut verdicts);
        }
    }
    let counters = detector.counters();
    assert!(counters.ahead >= 85 && counters.late >= 85, "{counters:?}");
    assert_eq!(
        counters.days,
        u64::from(working_days(0, 89)) - 1,
        "days are closed when they are over"
    );
    assert!(verdicts.len() <= 3, "{:?}", told(&verdicts));
}

#[test]
fn late_records_within_the_bound_count_to_their_day() {
    let read = |day: u32, hour: u32, rows: u64| Read {
        who: "ann",
        group: "",
        host: "h",
        day: FIRST + day,
        hour,
        rows,
    };
    let (mut detector, mut verdicts) = (detector(), Vec::new());
    read(0, 22, 10).feed(&mut detector, &mut verdicts);
    read(1, 1, 5).feed(&mut detector, &mut verdicts);
    // An hour after midnight, a record of before midnight.
    read(0, 23, 7).feed(&mut detector, &mut verdicts);
    let ann = &detector.state.principals[0];
    assert_eq!(ann.tallies.each_ref().map(|tally| tally.rows), {
        let mut rows = [0; 2];
        rows[(FIRST & 1) as usize] = 17;
        rows[((FIRST + 1) & 1) as usize] = 5;
        rows
    });
    read(1, 3, 1).feed(&mut detector, &mut verdicts);
    read(0, 23, 7).feed(&mut detector, &mut verdicts);
    assert_eq!(detector.counters().late, 1);
}

#[test]
fn records_that_come_twice_do_not_make_a_thief() {
    let mut people = People::new(40, 0.3, 0.4, 43);
    let (mut detector, mut verdicts) = (detector(), Vec::new());
    let keys: Vec<u64> = (0..60).map(crate::detect::mix).collect();
    for day in 0..120 {
        people.day(day, &mut detector, &mut verdicts, |_, _, usual| usual);
        // From day 90 on each record of one reader comes twice.
        for _ in 0..=u32::from(day >= 90) {
            detector.observe(
                &Observation {
                    time: Timestamp((u64::from(FIRST + day) * 86_400 + 50_000) * 1_000_000_000),
                    principal: "ann",
                    group: "g0",
                    host: "h",
                    os_user: "",
                    database: "support",
                    tables: &["customers"],
                    operation: "SELECT",
                    fingerprint: 7,
                    rows: 0,
                    statement_rows: None,
                    bytes: 0,
                    queries: 0,
                    keys: Keys::Hashes(&keys),
                    key_order: Default::default(),
                },
                &mut verdicts,
            );
        }
    }
    assert!(!told(&verdicts).contains_key("ann"));
    let ann = detector.state.names.find("ann").expect("known");
    let coverage = &detector.state.principals[ann as usize].coverage[0];
    assert_eq!(coverage.records(3, FIRST + 119), 60.0);
}

#[test]
fn absences_are_not_days() {
    let mut people = People::new(40, 0.3, 0.4, 44);
    let verdicts = people.days(200, |who, day, usual| {
        // Away for three weeks, then as before.
        if who == 5 && (100..121).contains(&day) {
            0.0
        } else {
            usual
        }
    });
    assert!(!told(&verdicts).contains_key("p005"), "{verdicts:#?}");
}

#[test]
fn the_same_input_gives_the_same_output() {
    let run = || People::new(40, 0.3, 0.4, 45).days(100, change);
    assert_eq!(run(), run());
}
