use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::export::{AlertRecord, otlp::Messages};

const ROOM: u64 = 8 << 20;
const SOON: Duration = Duration::from_secs(10);

fn alert(key: u64) -> Entry {
    let record = AlertRecord::for_tests(&format!("id-{key}"));
    Entry {
        key,
        message: Arc::new(Message::Logs(Messages::new(&[]).alert(&record))),
    }
}

fn keys(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.key).collect()
}

fn metrics(key: u64) -> Entry {
    Entry {
        key,
        message: Arc::new(Message::Metrics(Default::default())),
    }
}

#[test]
fn what_waits_is_found_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state/queue.db");
    let (journal, found) = Journal::open(&path, ROOM).expect("opens");
    assert!(found.is_empty());
    journal.added((0..5).map(alert).collect());
    journal.gone(vec![1, 3]);
    journal.metrics(vec![metrics(5), metrics(6)]);
    journal.metrics(vec![metrics(7)]);
    assert!(journal.close(SOON));
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (journal, found) = Journal::open(&path, ROOM).expect("opens");
    assert_eq!(keys(&found), [0, 2, 4, 7]);
    assert!(found[1].message.subject().contains("id-2"));
    // Metrics of the next run do not replace those of the last.
    journal.metrics(vec![metrics(8)]);
    journal.gone(vec![0, 2]);
    assert!(journal.close(SOON));
    let (_, found) = Journal::open(&path, ROOM).expect("opens");
    assert_eq!(keys(&found), [4, 7, 8]);
}

#[test]
fn only_one_process_has_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    let _first = Journal::open(&path, ROOM).expect("opens");
    let error = Journal::open(&path, ROOM).expect_err("it is taken");
    assert!(format!("{error:#}").contains("locked"), "{error:#}");
    assert!(path.exists(), "it is not put aside");
}

#[test]
fn a_damaged_file_is_put_aside() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    let (journal, _) = Journal::open(&path, ROOM).expect("opens");
    journal.added((0..200).map(alert).collect());
    assert!(journal.close(SOON));
    let sound = fs::read(&path).expect("the file");
    for damage in [0..100, 4096..12000, 100..sound.len()] {
        let mut bytes = sound.clone();
        bytes[damage.clone()].fill(0xa5);
        fs::write(&path, bytes).expect("write");
        let (journal, found) = Journal::open(&path, ROOM).expect("begins anew");
        assert!(found.is_empty(), "{damage:?}: {}", found.len());
        journal.added(vec![alert(9)]);
        assert!(journal.close(SOON));
        let (_, found) = Journal::open(&path, ROOM).expect("opens");
        assert_eq!(keys(&found), [9]);
        let aside = |entry: io::Result<fs::DirEntry>| {
            let name = entry.expect("an entry").file_name();
            name.to_string_lossy().contains(".damaged-")
        };
        assert!(fs::read_dir(directory.path()).expect("list").any(aside));
    }
}

#[test]
fn a_full_file_is_counted_and_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    // The least there can be: 256 pages, a megabyte.
    let (journal, _) = Journal::open(&path, 1).expect("opens");
    journal.added((0..2000).map(alert).collect());
    assert!(!journal.close(SOON), "there is no room for that");
    let (_, found) = Journal::open(&path, ROOM).expect("opens");
    assert!(found.is_empty(), "a transaction is whole or not at all");
}

#[test]
fn a_message_that_makes_no_sense_is_passed_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    let (journal, _) = Journal::open(&path, ROOM).expect("opens");
    journal.added((0..3).map(alert).collect());
    assert!(journal.close(SOON));
    let connection = Connection::open(&path).expect("opens");
    connection
        .execute("UPDATE message SET body = x'ff' WHERE key = 1", [])
        .expect("updates");
    drop(connection);
    let (_, found) = Journal::open(&path, ROOM).expect("opens");
    assert_eq!(keys(&found), [0, 2]);
}
