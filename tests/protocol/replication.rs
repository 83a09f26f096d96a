//! Standbys, logical decoders and physical backups.

use std::{fs, process::Stdio, time::Duration};

use harness::{
    Options, Volume, pause,
    raw::{self, Answer, Raw},
    relay::Relay,
};

use crate::stage::Stage;

#[test]
fn replication() {
    let stage = Stage::new(&Options {
        configuration: vec!["wal_level = logical".to_owned()],
        ..Options::default()
    });
    let roles = ["walsender", "backup", "stream"];
    for role in roles {
        stage.role(role);
        stage
            .server
            .sql("postgres", &format!("ALTER ROLE {role} REPLICATION"));
    }
    // The commands of a walsender that are statements like others, and SQL on the same connection.
    let mut client = Raw::connect(&stage.server.ipv4());
    let database = stage.database.as_str();
    client.send(&raw::startup(&[
        ("user", "walsender"),
        ("database", database),
        ("replication", "database"),
    ]));
    client.answer();
    let answers = [
        client.query("IDENTIFY_SYSTEM"),
        client.query("SHOW wal_segment_size"),
        client.query("SELECT id FROM items WHERE id <= 33"),
    ];
    let mut expected: Volume = answers.iter().map(Answer::volume).sum();
    assert_eq!(
        expected.rows_returned, 35,
        "rows expected | got {answers:?}"
    );
    (expected.bytes_sent, expected.bytes_received) = client.terminate();
    // A physical backup, by pg_basebackup with a second connection for the log.
    let relay = Relay::start(&stage.server.ipv4());
    let port = relay.endpoint().port.to_string();
    let connection = ["-h", "127.0.0.1", "-p", &port];
    let target = stage.server.directory().join("backup");
    let output = stage
        .server
        .command("pg_basebackup")
        .args(connection)
        .args([
            "-U",
            "backup",
            "--checkpoint=fast",
            "--wal-method=stream",
            "-D",
        ])
        .arg(&target)
        .output()
        .expect("run pg_basebackup");
    assert!(output.status.success(), "pg_basebackup: {output:?}");
    let backup = relay.finish();
    // The log, by pg_receivewal, while something is written.
    let relay = Relay::start(&stage.server.ipv4());
    let port = relay.endpoint().port.to_string();
    let target = stage.server.directory().join("wal");
    let mut receiver = stage.server.command("pg_receivewal");
    fs::create_dir(&target).expect("create a directory");
    std::os::unix::fs::chown(&target, Some(owner(stage.server.directory())), None).expect("chown");
    let mut receiver = receiver
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "stream",
            "--no-loop",
            "--synchronous",
            "-D",
        ])
        .arg(&target)
        .stderr(Stdio::null())
        .spawn()
        .expect("run pg_receivewal");
    pause(Duration::from_millis(500));
    stage.server.sql(
        &stage.database,
        "CREATE TABLE filler AS SELECT i FROM generate_series(1, 200000) i",
    );
    pause(Duration::from_millis(500));
    // SAFETY: our own child, not yet waited for.
    unsafe {
        libc::kill(
            libc::pid_t::try_from(receiver.id()).expect("a pid"),
            libc::SIGINT,
        )
    };
    receiver.wait().expect("wait for pg_receivewal");
    let stream = relay.finish();
    let output = stage.finish();
    let metrics = output.metrics();
    let got = Volume::anywhere(&metrics, "walsender");
    assert_eq!(expected, got, "walsender: client (left) | sensor (right)");
    for (role, (bytes_sent, bytes_received)) in [("backup", backup), ("stream", stream)] {
        let got = Volume::anywhere(&metrics, role);
        let expected = Volume {
            bytes_sent,
            bytes_received,
            ..Volume::default()
        };
        assert!(
            expected.bytes_sent > 1_000_000,
            "{role}: expected megabytes, got {expected:?}"
        );
        // The relay counts what the client wrote. A walsender that is done may end without reading the last of it:
        // the five bytes of a Terminate.
        let unread = expected.bytes_received - got.bytes_received;
        assert!(
            unread == 0 || unread == 5,
            "{role}: relay {expected:?} | sensor {:?}",
            got.bytes_only()
        );
        assert_eq!(
            Volume {
                bytes_received: got.bytes_received,
                ..expected
            },
            got.bytes_only(),
            "{role}: relay (left) | sensor (right)"
        );
        // What a walsender's commands answer (system, timeline, tablespaces), not the files' blocks.
        assert!(
            got.rows_returned < 20,
            "{role}: expected a few rows, got {got:?}"
        );
    }
}

fn owner(path: &std::path::Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).expect("metadata"))
}
