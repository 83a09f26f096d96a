use std::{path::Path, time::Duration};

use super::*;
use crate::{
    config::Config,
    principal::{ClientAddress, DbSystem, OsUser, Session},
    sql::Shape,
    volume::Volume,
};

struct Bench {
    lane: ThresholdLane,
    sizes: TableSizes,
    alerts: Vec<Alert>,
}

const SECOND: u64 = 1_000_000_000;

fn principal(user: &str) -> Principal {
    Principal {
        system: DbSystem::PostgreSql,
        server: "15/main:5432".into(),
        server_port: 5432,
        user: Some(user.into()),
        client: ClientAddress::Unix,
        os_user: Some(OsUser {
            uid: 0,
            name: "root".into(),
        }),
        login_user: None,
        ..Principal::default()
    }
}

fn rules(text: &str) -> Config {
    Config::parse(text, Path::new("test")).expect("valid configuration")
}

impl Bench {
    fn new(text: &str) -> Self {
        let config = rules(text);
        Self {
            lane: ThresholdLane::new(&config.thresholds, 100, 1),
            sizes: config.tables.clone(),
            alerts: Vec::new(),
        }
    }

    /// One access of user `who` on connection `who` to `table`; returns the alerts it raised.
    fn access(
        &mut self,
        who: u32,
        at: u64,
        table: &str,
        rows: u64,
        kind: AccessKind,
    ) -> Vec<Alert> {
        let session = Session::for_tests(ConnectionId(u64::from(who)), PrincipalId(who), "crm");
        let shape = Shape {
            operation: "SELECT".into(),
            tables: vec![table.into()],
            summary: format!("SELECT {table}").into(),
            ..Shape::default()
        };
        let shape_id = table.bytes().map(u32::from).sum::<u32>();
        self.lane.observe(
            &Access {
                time: Timestamp(at),
                started: Timestamp(at.saturating_sub(1)),
                principal: PrincipalId(who),
                session: &session,
                shape_id,
                shape: &shape,
                volume: Volume {
                    rows_returned: rows,
                    bytes_sent: rows * 100,
                    queries: 1,
                    ..Volume::default()
                },
                kind,
                largest: None,
                picked: None,
            },
            &principal(&format!("user{who}")),
            &self.sizes,
            &mut self.alerts,
        );
        std::mem::take(&mut self.alerts)
    }

    fn rows(&mut self, who: u32, at: u64, table: &str, rows: u64) -> Vec<Alert> {
        self.access(who, at, table, rows, AccessKind::Completed)
    }
}

const BULK: &str =
    "[[threshold]]\nname = \"bulk\"\ntable = \"customers\"\nwindow = \"10m\"\nlimit = 1000\n";

#[test]
fn fires_once_when_the_limit_is_crossed() {
    let mut bench = Bench::new(BULK);
    assert!(bench.rows(1, 1000 * SECOND, "customers", 1000).is_empty());
    assert!(
        bench.rows(2, 1000 * SECOND, "customers", 999).is_empty(),
        "principals are apart"
    );
    assert!(
        bench.rows(1, 1001 * SECOND, "tickets", 50_000).is_empty(),
        "another table"
    );
    let alerts = bench.rows(1, 1002 * SECOND, "customers", 1);
    assert_eq!(alerts.len(), 1);
    let alert = &alerts[0];
    assert_eq!(
        (alert.observed, alert.limit, alert.estimated),
        (1001, 1000, 0)
    );
    assert_eq!(alert.since, Timestamp(1000 * SECOND - 1));
    assert_eq!(alert.tables, ["customers".into()]);
    assert_eq!(alert.statements[0].amount, 1001);
    assert!(
        bench.rows(1, 1003 * SECOND, "customers", 1).is_empty(),
        "silent until rearmed"
    );
    assert_eq!(
        bench.rows(1, 1004 * SECOND, "customers", 9_010).len(),
        1,
        "ten times as much"
    );
}

#[test]
fn the_window_slides() {
    let mut bench = Bench::new(BULK);
    assert!(bench.rows(1, 1000 * SECOND, "customers", 900).is_empty());
    // 10 minutes and a bucket later nothing of it is left.
    assert!(
        bench
            .rows(1, 1000 * SECOND + 620 * SECOND, "customers", 900)
            .is_empty()
    );
    assert_eq!(
        bench
            .rows(1, 1000 * SECOND + 1100 * SECOND, "customers", 200)
            .len(),
        1
    );
}

#[test]
fn streaming_rows_count_while_they_stream() {
    let mut bench = Bench::new(BULK);
    let streaming = |estimated_rows| AccessKind::Streaming { estimated_rows };
    assert!(
        bench
            .access(1, 1000 * SECOND, "customers", 100, streaming(300))
            .is_empty()
    );
    assert!(
        bench
            .access(1, 1001 * SECOND, "customers", 0, streaming(800))
            .is_empty()
    );
    let alerts = bench.access(1, 1002 * SECOND, "customers", 0, streaming(950));
    assert_eq!(alerts.len(), 1);
    assert_eq!((alerts[0].observed, alerts[0].estimated), (1050, 950));
    // The exact count replaces the estimate.
    assert!(bench.rows(1, 1003 * SECOND, "customers", 500).is_empty());
    let alerts = bench.rows(1, 1003 * SECOND + 700 * SECOND, "customers", 1001);
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].estimated, 0);
}

#[test]
fn an_estimate_of_a_failed_statement_stays() {
    let mut bench = Bench::new(BULK);
    bench.access(
        1,
        1000 * SECOND,
        "customers",
        0,
        AccessKind::Streaming {
            estimated_rows: 900,
        },
    );
    bench.access(
        1,
        1001 * SECOND,
        "customers",
        0,
        AccessKind::Failed {
            estimated_rows: 950,
        },
    );
    assert_eq!(bench.rows(1, 1002 * SECOND, "customers", 51).len(), 1);
}

#[test]
fn a_statement_limit_is_a_statements() {
    let mut bench =
        Bench::new("[[threshold]]\nname = \"one\"\nper = \"statement\"\nlimit = 1000\n");
    for second in 0..10 {
        assert!(
            bench
                .rows(1, (1000 + second) * SECOND, "customers", 999)
                .is_empty()
        );
    }
    assert!(
        bench
            .access(
                1,
                1020 * SECOND,
                "customers",
                600,
                AccessKind::Streaming { estimated_rows: 0 }
            )
            .is_empty()
    );
    assert_eq!(bench.rows(1, 1021 * SECOND, "customers", 401).len(), 1);
    assert_eq!(
        bench.lane.windows(),
        0,
        "nothing is left of a finished statement"
    );
}

#[test]
fn a_portal_that_is_fetched_from_in_steps_is_one_statement() {
    let mut bench =
        Bench::new("[[threshold]]\nname = \"one\"\nper = \"statement\"\nlimit = 1000\n");
    for step in 0..10 {
        let at = (1000 + step) * SECOND;
        let fetched = bench.access(1, at, "customers", 100, AccessKind::Suspended);
        assert!(fetched.is_empty(), "{fetched:?}");
        // Others on the same connection, between.
        assert!(bench.rows(1, at, "tickets", 950).is_empty());
    }
    let alerts = bench.access(1, 1010 * SECOND, "customers", 100, AccessKind::Suspended);
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].observed, 1100);
    bench.rows(1, 1011 * SECOND, "customers", 0);
    assert_eq!(bench.lane.windows(), 0);
    assert!(bench.rows(1, 1012 * SECOND, "customers", 900).is_empty());
}

#[test]
fn a_statement_that_ends_without_a_last_row_leaves_nothing_to_the_next() {
    let mut bench =
        Bench::new("[[threshold]]\nname = \"one\"\nper = \"statement\"\nlimit = 1000\n");
    let streaming = AccessKind::Streaming { estimated_rows: 0 };
    bench.access(1, 1000 * SECOND, "customers", 900, streaming);
    let failed = AccessKind::Failed { estimated_rows: 0 };
    bench.access(1, 1001 * SECOND, "customers", 0, failed);
    assert_eq!(bench.lane.windows(), 0);
    assert!(bench.rows(1, 1002 * SECOND, "customers", 900).is_empty());
}

#[test]
fn beyond_what_was_acknowledged_it_is_told_at_once() {
    let mut bench = Bench::new(BULK);
    let alerts = bench.rows(1, 1000 * SECOND, "customers", 1100);
    let silence = Silence {
        up_to: Some(2000),
        until: Some(Timestamp(5000 * SECOND)),
    };
    bench.lane.silence(&alerts[0], silence);
    assert!(bench.rows(1, 1001 * SECOND, "customers", 900).is_empty());
    let beyond = bench.rows(1, 1002 * SECOND, "customers", 1);
    assert_eq!(beyond.len(), 1, "2,001 are more than was acknowledged");
    assert_eq!(beyond[0].observed, 2001);
    // When it has slid out, the limit itself holds, and whoever knows of acknowledgements is asked anew.
    let again = bench.rows(1, 3000 * SECOND, "customers", 1001);
    assert_eq!(again.len(), 1);
    bench.lane.silence(&again[0], silence);
    // Until then, and no longer.
    assert!(bench.rows(1, 3001 * SECOND, "customers", 1).is_empty());
    assert_eq!(bench.rows(1, 5000 * SECOND, "customers", 1001).len(), 1);
}

#[test]
fn a_share_needs_and_uses_the_tables_size() {
    let mut bench = Bench::new(
        "[[threshold]]\nname = \"share\"\nwindow = \"10m\"\nshare = 0.01\n[tables]\n\"crm.customers\" = 100000\n",
    );
    assert!(
        bench
            .rows(1, 1000 * SECOND, "unknown", 1_000_000)
            .is_empty()
    );
    assert!(bench.rows(1, 1000 * SECOND, "customers", 1000).is_empty());
    let alerts = bench.rows(1, 1001 * SECOND, "customers", 1);
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].limit, 1000);
    assert!((alerts[0].share_of_table.expect("size is known") - 0.01001).abs() < 1e-9);
}

#[test]
fn exceptions_hold_until_they_expire() {
    // 1970-01-01 00:30 is 1800 s.
    let mut bench = Bench::new(&format!(
        "{BULK}[[threshold.exception]]\nuser = \"user1\"\nreason = \"backup\"\nuntil = 1970-01-01T00:30:00Z\n"
    ));
    assert!(bench.rows(1, 1000 * SECOND, "customers", 5000).is_empty());
    assert_eq!(bench.rows(2, 1000 * SECOND, "customers", 5000).len(), 1);
    assert_eq!(bench.rows(1, 1801 * SECOND, "customers", 5000).len(), 1);
}

#[test]
fn a_clock_that_goes_backwards_loses_nothing() {
    let mut bench = Bench::new(BULK);
    bench.rows(1, 5000 * SECOND, "customers", 600);
    assert_eq!(bench.rows(1, 10 * SECOND, "customers", 600).len(), 1);
}

#[test]
fn a_changed_limit_keeps_the_window() {
    let mut bench = Bench::new(BULK);
    bench.rows(1, 1000 * SECOND, "customers", 900);
    let stricter = rules(&BULK.replace("1000", "901"));
    bench.lane.reconfigure(&stricter.thresholds);
    assert_eq!(bench.rows(1, 1001 * SECOND, "customers", 2).len(), 1);
    let other = rules(&BULK.replace("10m", "20m"));
    bench.lane.reconfigure(&other.thresholds);
    assert_eq!(bench.lane.windows(), 0);
}

#[test]
fn memory_is_bounded() {
    let config = rules(BULK);
    let mut bench = Bench::new(BULK);
    bench.lane = ThresholdLane::new(&config.thresholds, 50, 1);
    for who in 0..1000 {
        bench.rows(who, 1000 * SECOND, "customers", u64::from(who));
    }
    assert!(bench.lane.windows() <= 50);
    assert!(bench.lane.evicted > 0);
    // The largest is still known.
    assert_eq!(bench.rows(999, 1001 * SECOND, "customers", 2).len(), 1);
}

/// Against a naive list of all amounts: never less than the last window's length, never more than a bucket beyond.
/// A day in nanoseconds.
const DAY: u64 = 86_400 * SECOND;

#[test]
fn ninety_days_slide_in_the_memory_of_any_window() {
    let mut bench =
        Bench::new("[[threshold]]\nname = \"quarter\"\nwindow = \"90d\"\nlimit = 1000\n");
    for day in 0..99 {
        let alerts = bench.access(
            1,
            (1_000 + day) * DAY,
            "customers",
            10,
            AccessKind::Completed,
        );
        assert!(
            alerts.is_empty(),
            "{} rows on day {day}",
            alerts[0].observed
        );
    }
    // 99 days of ten rows each; of those the last ninety count, and a slot of 2.8 days at most.
    let alerts = bench.access(1, 1_099 * DAY, "customers", 200, AccessKind::Completed);
    assert_eq!(alerts.len(), 1);
    assert!(
        (1_090..=1_130).contains(&alerts[0].observed),
        "{}",
        alerts[0].observed
    );
    assert_eq!(bench.lane.windows(), 1);
    let mut early =
        Bench::new("[[threshold]]\nname = \"quarter\"\nwindow = \"90d\"\nlimit = 1000\n");
    early.access(1, 1_000 * DAY, "customers", 999, AccessKind::Completed);
    let after = early.access(1, 1_094 * DAY, "customers", 999, AccessKind::Completed);
    assert!(after.is_empty(), "what is over does not count");
}

#[test]
fn a_window_that_was_recalled_goes_on_and_tells_nothing_twice() {
    let text = "[[threshold]]\nname = \"month\"\nwindow = \"30d\"\nlimit = 1000\n";
    let (mut unbroken, mut broken) = (Bench::new(text), Bench::new(text));
    let mut raised = Vec::new();
    let past: Vec<(u64, u64)> = (0..12).map(|day| (day, 90)).collect();
    for (day, rows) in &past {
        raised.extend(unbroken.access(
            1,
            (1_000 + day) * DAY,
            "customers",
            *rows,
            AccessKind::Completed,
        ));
    }
    assert_eq!(raised.len(), 1, "1,080 rows after twelve days");
    // The other one starts anew and is told of the past as it was stored: more than the limit, and told already.
    let who = principal("user 1");
    let session = Session::for_tests(ConnectionId(9), PrincipalId(1), "crm");
    let shape = Shape {
        tables: vec!["customers".into()],
        ..Shape::default()
    };
    for (day, rows) in &past {
        let time = Timestamp((1_000 + day) * DAY);
        let access = Access {
            time,
            started: time,
            principal: PrincipalId(1),
            session: &session,
            shape_id: 5,
            shape: &shape,
            volume: Volume {
                rows_returned: *rows,
                ..Volume::default()
            },
            kind: AccessKind::Completed,
            largest: None,
            picked: None,
        };
        broken.lane.recall(&access, &who, &broken.sizes);
    }
    let told = recall::Raised {
        rule: "month".into(),
        principal: PrincipalId(1),
        table: Some("customers".into()),
        time: raised[0].time,
        observed: raised[0].observed,
    };
    broken.lane.recalled(std::slice::from_ref(&told));
    for bench in [&mut unbroken, &mut broken] {
        let again = bench.access(1, 1_013 * DAY, "customers", 5, AccessKind::Completed);
        assert!(again.is_empty(), "told already");
    }
    // Had it not been told, it would be now.
    broken.lane.recalled(&[]);
    let now = broken.access(
        1,
        1_013 * DAY + SECOND,
        "customers",
        5,
        AccessKind::Completed,
    );
    assert_eq!(now.len(), 1);
    assert_eq!(now[0].observed, 1_090);
}

#[test]
fn what_was_read_before_a_tables_size_is_known_counts() {
    let mut bench = Bench::new("[[threshold]]\nname = \"share\"\nwindow = \"1h\"\nshare = 0.5\n");
    let before = bench.access(1, SECOND, "customers", 600, AccessKind::Completed);
    assert!(before.is_empty());
    bench
        .sizes
        .measure("crm", [("public.customers".to_owned(), 1_000)]);
    let after = bench.access(1, 2 * SECOND, "customers", 1, AccessKind::Completed);
    assert_eq!(after[0].observed, 601);
}

#[test]
fn windows_agree_with_a_naive_model() {
    let mut state = 42u64;
    let mut random = move |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let length = Duration::from_secs(600);
    let bucket = length.as_nanos().div_ceil(32);
    let session = Session::for_tests(ConnectionId(1), PrincipalId(1), "crm");
    let shape = Shape::default();
    let mut window = Sliding::new(length);
    let mut all: Vec<(u64, u64)> = Vec::new();
    let mut now = 10_000 * SECOND;
    for _ in 0..20_000 {
        now += random(20) * SECOND
            + if random(50) == 0 {
                random(2000) * SECOND
            } else {
                0
            };
        let amount = random(100);
        window.add(
            &Access {
                time: Timestamp(now),
                started: Timestamp(now),
                principal: PrincipalId(1),
                session: &session,
                shape_id: 1,
                shape: &shape,
                volume: Volume::default(),
                kind: AccessKind::Completed,
                largest: None,
                picked: None,
            },
            amount,
        );
        all.push((now, amount));
        let within = |nanos: u128| -> u64 {
            all.iter()
                .rev()
                .take_while(|(time, _)| u128::from(now - time) < nanos)
                .map(|(_, amount)| amount)
                .sum()
        };
        let least = within(length.as_nanos());
        let most = within(length.as_nanos() + 2 * bucket);
        assert!(
            least <= window.sum() && window.sum() <= most,
            "{least} <= {} <= {most}",
            window.sum()
        );
    }
}

#[test]
fn of_statements_put_together_the_largest_is_judged() {
    let mut bench = Bench::new(
        "[[threshold]]\nname = \"one\"\ntable = \"customers\"\nper = \"statement\"\nlimit = 50\n",
    );
    let mut together = |largest| {
        let session = Session::for_tests(ConnectionId(1), PrincipalId(1), "crm");
        let shape = Shape {
            operation: "SELECT".into(),
            tables: vec!["customers".into()],
            ..Shape::default()
        };
        bench.lane.observe(
            &Access {
                time: Timestamp(SECOND),
                started: Timestamp(SECOND),
                principal: PrincipalId(1),
                session: &session,
                shape_id: 1,
                shape: &shape,
                volume: Volume {
                    rows_returned: 400,
                    queries: 20,
                    ..Volume::default()
                },
                kind: AccessKind::Completed,
                largest: Some(crate::volume::Largest {
                    rows: largest,
                    bytes_sent: 1,
                }),
                picked: None,
            },
            &principal("user1"),
            &bench.sizes,
            &mut bench.alerts,
        );
        std::mem::take(&mut bench.alerts).len()
    };
    assert_eq!(
        together(50),
        0,
        "400 rows, but 50 at the most in one statement"
    );
    assert_eq!(together(51), 1);
}
