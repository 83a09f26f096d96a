//! What the store promises: sums that hold whatever happens to them, and to the process.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::{
    detect::sketch::Distinct,
    principal::{ClientAddress, DbSystem, OsUser, Principal, PrincipalId, identity::Field},
    sql::Shape,
    time::Timestamp,
    volume::Volume,
};

const SECOND: u64 = 1_000_000_000;

fn principal(user: &str, host: u8) -> Arc<Principal> {
    Arc::new(Principal {
        system: DbSystem::PostgreSql,
        server: "15/main:5432".into(),
        server_port: 5432,
        user: Some(user.into()),
        client: ClientAddress::Ip([10, 0, 0, host].into()),
        os_user: (host == 1).then(|| OsUser {
            uid: 33,
            name: "www".into(),
        }),
        login_user: None,
        more: vec![
            (Field::Tags, "user=ann,desk=7".into()),
            (Field::Certificate, format!("CN={user}\\=x").into()),
        ],
        ..Principal::default()
    })
}

fn shape(tables: &[&str]) -> Arc<Shape> {
    Arc::new(Shape {
        operation: "SELECT".into(),
        tables: tables.iter().map(|table| Arc::from(*table)).collect(),
        summary: format!("SELECT {}", tables.join(" ")).into(),
        text: format!("SELECT * FROM {} WHERE id = ?", tables.join(", ")).into(),
        parsed: true,
        ..Shape::default()
    })
}

/// Rows read at a second by the user of a number.
fn batch(time: u64, user: u32, shape_id: u32, shape: &Arc<Shape>, rows: u64) -> Batch {
    let mut batch = Batch::default();
    batch.entries.insert(
        Key {
            minute: time / 60,
            principal: PrincipalId(user),
            database: "crm".into(),
            shape_id,
        },
        Entry {
            principal: principal(&format!("u{user}"), u8::try_from(user).expect("few")),
            shape: shape.clone(),
            amount: Amount {
                volume: Volume {
                    rows_returned: rows,
                    bytes_sent: rows * 100,
                    queries: 1,
                    ..Volume::default()
                },
                statement_rows: rows,
                statement_bytes: rows * 100,
                first: Timestamp(time * SECOND),
                last: Timestamp(time * SECOND),
                ..Amount::default()
            },
        },
    );
    batch
}

fn bounds(max_bytes: u64) -> Bounds {
    let day = Duration::from_secs(86_400);
    Bounds {
        minutes: 3 * day,
        hours: 45 * day,
        days: 400 * day,
        max_bytes,
    }
}

/// A day in 2026, in seconds.
const DAY: u64 = 86_400;
const NOW: u64 = 20_600 * DAY + 50_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * SECOND)
}

fn store(directory: &tempfile::TempDir) -> Store {
    Store::open(&directory.path().join("history.db")).expect("opened")
}

fn settle(store: &mut Store, bounds: &Bounds, now: Timestamp) -> u64 {
    let mut pruned = 0;
    loop {
        let step = store.upkeep(bounds, now).expect("upkeep");
        pruned += step.pruned_rows;
        if !step.more {
            return pruned;
        }
    }
}

fn rows_in(store: &Store, table: &str) -> (u64, u64) {
    store
        .connection()
        .query_row(
            &format!("SELECT count(*), coalesce(sum(rows_returned), 0) FROM {table}"),
            [],
            |row| Ok((count(row.get(0)?), count(row.get(1)?))),
        )
        .expect("counted")
}

#[test]
fn minutes_become_hours_and_days_and_the_sum_holds() {
    let directory = tempfile::tempdir().expect("directory");
    let mut store = store(&directory);
    let shapes = [shape(&["customers"]), shape(&["tickets"])];
    let mut truth = (0, 0);
    // A sum every 100 minutes for 60 days.
    for step in 0..60 * 24 * 60 / 100u64 {
        let time = NOW - step * 6_000;
        let number = u32::try_from(step % 2).expect("few");
        let mut one = batch(
            time,
            u32::try_from(step % 5).expect("few"),
            number,
            &shapes[number as usize],
            step,
        );
        for entry in one.entries.values_mut() {
            let mut sketch = Distinct::default();
            insert_records(&mut sketch, &[step % 7]);
            entry.amount.records = Some(sketch);
        }
        store.write(&one).expect("written");
        truth.0 += step;
        truth.1 += 1;
    }
    assert_eq!(settle(&mut store, &bounds(1 << 30), at(NOW)), 0);
    assert_eq!(store.totals().expect("totals"), truth);
    let (minutes, hours, days) = (
        rows_in(&store, "minute"),
        rows_in(&store, "hour"),
        rows_in(&store, "day"),
    );
    // Three days of minutes and what is left of an hour, 42 of hours, the rest by day.
    assert!((43..=44).contains(&minutes.0), "{minutes:?}");
    assert!(hours.0 > 500 && days.0 > 100, "{hours:?} {days:?}");
    // What comes late is added to what was summed up.
    store
        .write(&batch(NOW - 50 * DAY, 1, 0, &shapes[0], 5))
        .expect("late");
    settle(&mut store, &bounds(1 << 30), at(NOW));
    assert_eq!(store.totals().expect("totals"), (truth.0 + 5, truth.1 + 1));
    let records: u64 = {
        let blob: Vec<u8> = store
            .connection()
            .query_row("SELECT records_union(records) FROM day", [], |row| {
                row.get(0)
            })
            .expect("blob");
        sketch::count(&sketch::decode(&blob).expect("sketch"))
    };
    assert_eq!(records, 7);
    // 400 days later all is gone, names too.
    settle(&mut store, &bounds(1 << 30), at(NOW + 402 * DAY));
    assert_eq!(store.totals().expect("totals"), (0, 0));
    let names: i64 = store
        .connection()
        .query_row("SELECT count(*) FROM statement", [], |row| row.get(0))
        .expect("counted");
    assert_eq!(names, 0);
    // And can be made anew: numbers of rows that are gone are not used.
    store
        .write(&batch(NOW + 402 * DAY, 1, 0, &shapes[0], 9))
        .expect("anew");
    let asked = Asked {
        table: Some("customers".into()),
        database: None,
        user: None,
        since: at(NOW + 401 * DAY),
        until: at(NOW + 403 * DAY),
    };
    let answer = asked.answer(store.connection()).expect("answered");
    assert_eq!((answer.len(), answer[0].rows_read), (1, 9));
}

#[test]
fn the_file_stays_within_its_size() {
    let directory = tempfile::tempdir().expect("directory");
    let mut store = store(&directory);
    let bound = bounds(1 << 20);
    let mut written = 0;
    let mut pruned = 0;
    for step in 0..400u64 {
        let mut many = Batch::default();
        for shape_id in 0..100 {
            many.absorb(
                batch(
                    NOW + step * 120,
                    1,
                    shape_id,
                    &shape(&[&format!("t{shape_id}")]),
                    1,
                ),
                1000,
            );
        }
        written += 100;
        store.write(&many).expect("written");
        pruned += settle(&mut store, &bound, at(NOW + step * 120));
    }
    let (rows, _) = store.totals().expect("totals");
    assert_eq!(rows + pruned, written, "what goes is counted");
    assert!(pruned > 0 && rows > 1_000, "{rows} kept, {pruned} pruned");
    // Free pages are given back some thousand at a time.
    let bytes = store.bytes().expect("size");
    assert!(bytes < (1 << 20) + 2_000 * 4096, "{bytes}");
}

/// An alert of a second, raw.
fn alert(store: &Store, id: &str, time: u64) {
    store
        .connection()
        .execute(
            "INSERT INTO alert VALUES (?1, ?2, 'threshold', 'r', 'warning', 's', NULL, 'local', NULL, '', '', 'rows', 1, 1, 1, 1,
             '[]', '[]', '[]', '', NULL)",
            rusqlite::params![id, stored(time * SECOND)],
        )
        .expect("stored");
}

/// What was said of it.
fn fate(store: &Store, alert: &str, until: Option<u64>) {
    store
        .connection()
        .execute(
            "INSERT INTO fate (alert, time, kind, rule, subject, until, reason, told_by)
             VALUES (?1, 1, 'false', 'r', 's', ?2, '', '')",
            rusqlite::params![alert, until.map(stored)],
        )
        .expect("stored");
}

fn texts(store: &Store, query: &str) -> Vec<String> {
    let mut statement = store.connection().prepare(query).expect("valid");
    let rows = statement.query_map([], |row| row.get(0)).expect("asked");
    rows.collect::<Result<_, _>>().expect("texts")
}

#[test]
fn statements_that_are_made_up_leave_volumes_their_place() {
    let directory = tempfile::tempdir().expect("directory");
    let mut store = store(&directory);
    let bound = bounds(1 << 20);
    alert(&store, "answered", NOW - 60);
    fate(&store, "answered", Some(NOW + 60));
    fate(&store, "answered", None);
    alert(&store, "open", NOW - 60);
    alert(&store, "long ago", NOW - 40 * DAY);
    let mut pruned = 0;
    for step in 0..400u64 {
        let mut many = Batch::default();
        for shape_id in 0..20 {
            let number = u32::try_from(step).expect("few") * 20 + shape_id;
            let table = format!("t{number}");
            many.absorb(
                batch(NOW + step * 120, 1, number, &shape(&[&table]), 1),
                1000,
            );
        }
        store.write(&many).expect("written");
        pruned += settle(&mut store, &bound, at(NOW + step * 120));
    }
    let (rows, _) = store.totals().expect("totals");
    assert_eq!(rows + pruned, 8_000);
    assert!(pruned > 0 && rows > 300, "{rows} kept, {pruned} pruned");
    assert_eq!(rows_in_names(&store), (rows, rows), "one a statement");
    let alerts = texts(&store, "SELECT id FROM alert");
    assert_eq!(alerts, ["open"], "nobody has answered, and it is recent");
    let fates = texts(&store, "SELECT coalesce(until, 'no end') FROM fate");
    assert_eq!(fates, ["no end"], "it still holds");
}

/// Statements, and tables of statements.
fn rows_in_names(store: &Store) -> (u64, u64) {
    store
        .connection()
        .query_row(
            "SELECT (SELECT count(*) FROM statement), (SELECT count(*) FROM statement_table)",
            [],
            |row| Ok((count(row.get(0)?), count(row.get(1)?))),
        )
        .expect("counted")
}

#[test]
fn a_full_database_fails_whole_and_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().expect("directory");
    let mut store = store(&directory);
    let wide = shape(&["customers"]);
    store
        .write(&batch(NOW, 1, 0, &wide, 1))
        .expect("room enough");
    let pages: i64 = store
        .connection()
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .expect("pages");
    store
        .connection()
        .pragma_update(None, "max_page_count", pages)
        .expect("full");
    let mut pending = Batch::default();
    let mut failed = 0;
    for step in 0..300 {
        let lost = pending.absorb(
            batch(NOW + step * 60, 2, 7, &shape(&["another", "table"]), 10),
            1_000,
        );
        assert_eq!(lost, 0);
        failed += u32::from(
            store
                .write(&pending)
                .map(|()| pending = Batch::default())
                .is_err(),
        );
    }
    assert!(failed > 0, "300 sums do not fit into no page");
    store
        .connection()
        .pragma_update(None, "max_page_count", 100_000)
        .expect("room");
    store.write(&pending).expect("room again");
    assert_eq!(store.totals().expect("totals"), (3_001, 301));
}

#[test]
fn what_finds_no_place_is_counted() {
    let mut pending = Batch::default();
    let mut lost = 0;
    for step in 0..20 {
        lost += pending.absorb(batch(NOW + step * 60, 1, 0, &shape(&["t"]), 3), 15);
    }
    assert_eq!((pending.entries.len(), lost), (15, 15));
}

#[test]
fn who_read_a_table() {
    let directory = tempfile::tempdir().expect("directory");
    let mut store = store(&directory);
    let shapes = [
        shape(&["public.customers", "tickets"]),
        shape(&["Customers"]),
        shape(&["tickets"]),
    ];
    for (user, number, rows, time) in [
        (1, 0, 100, NOW),
        (1, 1, 50, NOW + 600),
        (2, 1, 7, NOW + 60),
        (3, 2, 9_999, NOW),
        (2, 1, 1_000, NOW - 40 * DAY),
    ] {
        store
            .write(&batch(time, user, number, &shapes[number as usize], rows))
            .expect("written");
    }
    settle(&mut store, &bounds(1 << 30), at(NOW));
    let asked = Asked {
        table: Some("customers".into()),
        database: None,
        user: None,
        since: at(NOW - DAY),
        until: at(NOW + DAY),
    };
    let answer = asked.answer(store.connection()).expect("answered");
    let found: Vec<_> = answer
        .iter()
        .map(|reading| (reading.user.as_deref().unwrap_or(""), reading.rows_read))
        .collect();
    assert_eq!(found, [("u1", 150), ("u2", 7)]);
    assert_eq!(answer[0].first, at(NOW));
    assert_eq!(answer[0].last, at(NOW + 600));
    assert!(answer[0].clients.contains("10.0.0.1") && answer[0].os_users.contains("www"));
    assert_eq!(answer[0].statements.len(), 2);
    assert_eq!(
        answer[0].statements[0].text,
        "SELECT * FROM public.customers, tickets WHERE id = ?"
    );
    assert_eq!(
        (answer[0].records, answer[0].rows_without_keys),
        (None, 150)
    );
    let wider = Asked {
        since: at(NOW - 50 * DAY),
        user: Some("u2".into()),
        ..asked.clone()
    };
    let answer = wider.answer(store.connection()).expect("answered");
    assert_eq!(answer[0].rows_read, 1_007);
    let with_schema = Asked {
        table: Some("public.customers".into()),
        ..asked
    };
    let answer = with_schema.answer(store.connection()).expect("answered");
    assert_eq!((answer.len(), answer[0].rows_read), (1, 100));
}

#[test]
fn sums_come_back_as_accesses_of_the_same_people() {
    let directory = tempfile::tempdir().expect("directory");
    let mut store = store(&directory);
    let of_tickets = shape(&["tickets"]);
    for user in 1..=2 {
        store
            .write(&batch(NOW + u64::from(user), user, 3, &of_tickets, 10))
            .expect("written");
    }
    let mut past = Past::new(store.connection()).expect("past");
    let mut seen = Vec::new();
    past.accesses(
        at(NOW - DAY),
        at(NOW + DAY),
        &mut StoredNumbers,
        |_, access, who| {
            assert_eq!(
                **who,
                *principal(who.user.as_deref().expect("user"), access.principal.0 as u8)
            );
            assert_eq!(*access.shape, *of_tickets);
            seen.push((
                access.time,
                access.volume.rows_returned,
                access.session.database.clone(),
            ));
        },
    )
    .expect("read");
    seen.sort();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], (at(NOW + 1), 10, "crm".into()));
}

/// Set in the process that is killed: the file to write to.
const VICTIM: &str = "HISTORY_TEST_VICTIM";

/// Not a test of its own: what [`killed_at_any_moment`] starts and kills.
#[test]
fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else {
        return;
    };
    let path = std::path::PathBuf::from(path);
    let store = Store::open(&path);
    let begin = store
        .as_ref()
        .map(|store| store.totals().expect("totals").1)
        .expect("opened");
    // Short, so that roll-ups are always under way.
    let hour = Duration::from_secs(3_600);
    let bounds = Bounds {
        minutes: hour,
        hours: 24 * hour,
        days: 100_000 * hour,
        max_bytes: 1 << 40,
    };
    let writer = Writer::start(path, bounds, 10_000, true, store).expect("writer");
    let of_tickets = shape(&["tickets"]);
    let now = Timestamp::now().0 / SECOND;
    for number in begin + 1.. {
        let mut next = Some(batch(
            now - (number % 50) * 2_711,
            u32::try_from(number % 9).expect("few"),
            1,
            &of_tickets,
            number,
        ));
        if number % 10 == 0
            && let Some(batch) = &mut next
        {
            batch.detector = Some((vec![7; 20_000], 1, at(number)));
        }
        while let Some(batch) = next.take() {
            next = writer.send(batch);
            std::thread::sleep(Duration::from_micros(100));
        }
        // The queue holds four: what was sent five ago is in a transaction that has begun, six ago in one that ended.
        while writer.state().written + 8 < number - begin && writer.state().stopped.is_none() {
            std::thread::sleep(Duration::from_micros(100));
        }
        println!("sent {number}");
    }
}

#[test]
fn killed_at_any_moment_nothing_is_torn() {
    const KILLS: u64 = 40;
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("history.db");
    let mut last = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "history::tests::victim", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut sent = 0;
        // A different moment each time, and a different number of batches.
        let goal = last + 5 + kill * 3;
        while let Some(Ok(line)) = lines.next() {
            if let Some(number) = line.split("sent ").nth(1) {
                sent = number.trim().parse().expect("a number");
            }
            if sent >= goal {
                break;
            }
        }
        std::thread::sleep(Duration::from_micros(kill * 397 % 5_000));
        child.kill().expect("kill -9");
        child.wait().expect("wait");
        let store = Store::open(&path).expect("opens again");
        let whole: String = store
            .connection()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("checked");
        assert_eq!(whole, "ok", "after kill {kill}");
        let (rows, queries) = store.totals().expect("totals");
        assert_eq!(
            rows,
            queries * (queries + 1) / 2,
            "after kill {kill}: whole batches, in order, each once"
        );
        assert!(
            queries + 14 >= sent,
            "after kill {kill}: {sent} were sent, {queries} are there"
        );
        assert!(queries >= last, "after kill {kill}: nothing goes back");
        // The detector's state and what came since are all there is, each once.
        let (state, since): (i64, i64) = store
            .connection()
            .query_row(
                "SELECT coalesce((SELECT time FROM detector), 0), (SELECT coalesce(sum(queries), 0) FROM since_detector)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .expect("read");
        assert_eq!(count(state) + count(since), queries, "after kill {kill}");
        last = queries;
    }
    assert!(last > KILLS * 5, "{last}");
}
