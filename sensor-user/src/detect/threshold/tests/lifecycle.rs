//! Estimates come and go, statements end, alerts stay quiet, evidence slides: what happens between the increments.

use super::*;

const STREAMING: fn(u64) -> AccessKind = |estimated_rows| AccessKind::Streaming { estimated_rows };
const ONE: &str = "[[threshold]]\nname = \"one\"\nper = \"statement\"\nlimit = 1000\n";

/// The kernel walked what it had estimated before: the same rows must not count twice.
#[test]
fn an_estimate_of_zero_replaces_the_one_before() {
    let mut bench = Bench::new(BULK);
    bench.access(1, 1000 * SECOND, "customers", 0, STREAMING(900));
    assert!(
        bench
            .access(1, 1001 * SECOND, "customers", 900, STREAMING(0))
            .is_empty()
    );
    assert_eq!(bench.rows(1, 1002 * SECOND, "customers", 101).len(), 1);
}

#[test]
fn an_estimate_follows_its_connection_to_another_table() {
    let mut bench = Bench::new(BULK);
    bench.access(1, 1000 * SECOND, "customers", 0, STREAMING(900));
    bench.access(1, 1001 * SECOND, "tickets", 0, STREAMING(900));
    assert!(bench.access_on(2, 1, 1002 * SECOND, &["customers"], 200, AccessKind::Completed).is_empty());
}

/// All rows were walked before the end: the end brings none, and closes the statement all the same.
#[test]
fn a_statement_that_ends_without_another_row_is_over() {
    let mut bench = Bench::new(ONE);
    assert!(bench.access(1, 1000 * SECOND, "customers", 600, STREAMING(0)).is_empty());
    assert!(bench.rows(1, 1001 * SECOND, "customers", 0).is_empty());
    assert_eq!(bench.lane.windows(), 0);
    assert!(bench.rows(1, 1002 * SECOND, "customers", 600).is_empty());
}

#[test]
fn bytes_outside_statements_do_not_end_one() {
    let mut bench = Bench::new(
        "[[threshold]]\nname = \"one\"\nper = \"statement\"\nmeasure = \"bytes\"\nlimit = 100000\n",
    );
    assert!(bench.access(1, 1000 * SECOND, "customers", 600, STREAMING(0)).is_empty());
    assert!(bench.access_on(1, 1, 1001 * SECOND, &[], 1, AccessKind::Overhead).is_empty());
    assert_eq!(bench.rows(1, 1002 * SECOND, "customers", 600).len(), 1);
}

#[test]
fn statement_limits_are_rearmed_like_others() {
    let mut bench = Bench::new(ONE);
    assert_eq!(bench.rows(1, 1000 * SECOND, "customers", 1001).len(), 1);
    assert!(bench.rows(1, 1001 * SECOND, "customers", 1001).is_empty());
    assert_eq!(bench.rows(2, 1001 * SECOND, "customers", 1001).len(), 1);
    assert_eq!(bench.rows(1, 1002 * SECOND, "customers", 10_010).len(), 1);
    assert_eq!(bench.rows(1, 1603 * SECOND, "customers", 1001).len(), 1);
}

/// Rearming is longer than the window, and the window was given up in between.
#[test]
fn silence_outlives_the_window() {
    let mut bench = Bench::new(&format!("{BULK}rearm = \"1h\"\n"));
    let config = rules(&format!("{BULK}rearm = \"1h\"\n"));
    bench.lane = ThresholdLane::new(&config.thresholds, 1, 1);
    assert_eq!(bench.rows(1, 1000 * SECOND, "customers", 1001).len(), 1);
    assert!(bench.rows(2, 2000 * SECOND, "customers", 5).is_empty());
    assert!(bench.rows(1, 2001 * SECOND, "customers", 1001).is_empty());
    assert_eq!(bench.rows(1, 4601 * SECOND, "customers", 1001).len(), 1);
}

/// Set back by a day, the clock must silence nobody for a day.
#[test]
fn a_clock_set_back_does_not_silence() {
    let mut bench = Bench::new(BULK);
    let day = 86_400 * SECOND;
    assert_eq!(bench.rows(1, 2 * day, "customers", 1001).len(), 1);
    assert!(bench.rows(1, day, "customers", 1).is_empty());
    assert_eq!(bench.rows(1, day + 700 * SECOND, "customers", 1001).len(), 1);
    // And what was read before has slid out on the new time.
    assert!(bench.rows(1, day + 2000 * SECOND, "customers", 999).is_empty());
}

/// An alert while nothing has been counted exactly yet names table, statement and time all the same.
#[test]
fn an_alert_on_an_estimate_alone_is_complete() {
    let mut bench = Bench::new(&format!("{BULK}[tables]\ncustomers = 10000\n"));
    let alerts = bench.access(1, 1000 * SECOND, "customers", 0, STREAMING(2000));
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].since, Timestamp(1000 * SECOND - 1));
    assert_eq!(alerts[0].tables, ["customers".into()]);
    assert!((alerts[0].share_of_table.expect("known") - 0.2).abs() < 1e-9);
    assert_eq!(alerts[0].statements[0].amount, 2000);
}

/// Each connection's estimate is its own statement's and its own table's.
#[test]
fn estimates_are_told_apart_by_statement() {
    let mut bench = Bench::new("[[threshold]]\nname = \"bulk\"\nwindow = \"10m\"\nlimit = 1000\n");
    bench.access_on(1, 1, 1000 * SECOND, &["customers"], 0, STREAMING(900));
    let alerts = bench.access_on(2, 1, 1001 * SECOND, &["tickets"], 0, STREAMING(200));
    assert_eq!(alerts.len(), 1);
    let amounts: Vec<_> = alerts[0].statements.iter().map(|s| (&*s.summary, s.amount)).collect();
    assert_eq!(amounts, [("SELECT customers", 900), ("SELECT tickets", 200)]);
    assert_eq!(alerts[0].tables, ["customers".into(), "tickets".into()]);
}

/// A reader that never pauses: the evidence is of the window, not of all time.
#[test]
fn evidence_slides_with_the_window() {
    let mut bench = Bench::new(&format!("{BULK}[tables]\ncustomers = 10000\n"));
    for second in 0..3600 {
        assert!(bench.rows(1, (1000 + second) * SECOND, "customers", 1).is_empty());
    }
    let alerts = bench.rows(1, 4600 * SECOND, "customers", 1000);
    assert_eq!(alerts.len(), 1);
    let (alert, statement) = (&alerts[0], &alerts[0].statements[0]);
    assert!(alert.observed <= 1620, "{}", alert.observed);
    assert!(statement.amount <= alert.observed, "{}", statement.amount);
    assert!(alert.share_of_table.expect("known") < 0.17);
    assert!(statement.first >= Timestamp(3900 * SECOND), "{}", statement.first);
}

/// Many small statements must not push the large one out of the explanation.
#[test]
fn the_large_statement_stays_in_the_explanation() {
    let mut bench = Bench::new("[[threshold]]\nname = \"bulk\"\nwindow = \"10m\"\nlimit = 4000\n");
    let mut alerts = Vec::new();
    let names: Vec<String> = (0..40).map(|i| format!("t{i}")).collect();
    for i in 0..100u64 {
        let at = 1000 * SECOND + i * SECOND;
        for name in &names {
            alerts.extend(bench.rows(1, at, name, 1));
        }
        alerts.extend(bench.rows(1, at, "customers", 20));
    }
    assert_eq!(&*alerts[0].statements[0].summary, "SELECT customers");
    assert_eq!(&*alerts[0].tables[0], "customers");
}

/// Equal windows must not all be given up at once.
#[test]
fn eviction_takes_few() {
    let config = rules(BULK);
    let mut bench = Bench::new(BULK);
    bench.lane = ThresholdLane::new(&config.thresholds, 200, 1);
    for who in 0..201 {
        bench.rows(who, 1000 * SECOND, "customers", 700);
    }
    assert!(bench.lane.windows() >= 195, "{}", bench.lane.windows());
    assert!(bench.lane.evicted <= 5);
}

#[test]
fn memory_is_bounded_while_everything_streams() {
    let config = rules(BULK);
    let mut bench = Bench::new(BULK);
    bench.lane = ThresholdLane::new(&config.thresholds, 50, 1);
    for who in 0..1000 {
        bench.access(who, 1000 * SECOND, "customers", 0, STREAMING(5));
    }
    assert!(bench.lane.windows() <= 50, "{}", bench.lane.windows());
}

/// Whoever may read one table freely must not get another for free by joining the two.
#[test]
fn an_excused_table_excuses_no_other() {
    let mut bench = Bench::new(
        "[[threshold]]\nname = \"bulk\"\nwindow = \"10m\"\nlimit = 1000\n[[threshold.exception]]\ntable = \"statistics\"\nreason = \"public\"\nuntil = 2099-01-01\n",
    );
    assert!(bench.rows(1, 1000 * SECOND, "statistics", 5000).is_empty());
    let joined = bench.access_on(1, 1, 1001 * SECOND, &["statistics", "customers"], 5000, AccessKind::Completed);
    assert_eq!(joined.len(), 1);
}

/// "All tables but this one" holds for statements of which no table is known, too.
#[test]
fn an_exclusion_leaves_unknown_statements_in() {
    let mut bench =
        Bench::new("[[threshold]]\nname = \"bulk\"\ntable = \"!audit\"\nwindow = \"10m\"\nlimit = 1000\n");
    assert!(bench.rows(1, 1000 * SECOND, "audit", 5000).is_empty());
    assert_eq!(bench.access_on(1, 1, 1001 * SECOND, &[], 5000, AccessKind::Completed).len(), 1);
}

#[test]
fn more_rules_have_more_room() {
    let mut bench = Bench::new(BULK);
    bench.lane = ThresholdLane::new(&rules(BULK).thresholds, 50, 1);
    let two = rules(&format!("{BULK}{}", BULK.replace("bulk", "other")));
    bench.lane.reconfigure(&two.thresholds);
    for who in 0..50 {
        bench.rows(who, 1000 * SECOND, "customers", 5);
    }
    assert_eq!((bench.lane.windows(), bench.lane.evicted), (100, 0));
}

/// Counts that only a forged server could send are no reason to fall over.
#[test]
fn absurd_amounts_do_not_wrap() {
    let mut bench = Bench::new(BULK);
    for second in 0..4 {
        bench.rows(1, (1000 + second) * SECOND, "customers", u64::MAX / 2);
    }
    bench.rows(1, 5000 * SECOND, "customers", 1);
    assert_eq!(bench.rows(1, 5001 * SECOND, "customers", 1001).len(), 1);
}
