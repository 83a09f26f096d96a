//! A stream of records as the kernel side would write it: many connections, users and statements.

use sensor_ebpf::record::{
    CloseRecord, CommandTag, FAMILY_INET, OpenRecord, RecordHeader, RecordKind, StatementRecord,
};
use sensor_user::{
    config::Config,
    ingest::{Clock, Observation},
    pipeline::Pipeline,
};

/// How many of each there are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Open connections.
    pub connections: u64,
    /// Statement texts.
    pub fingerprints: u64,
    /// Database users, each from an address of its own.
    pub principals: u64,
}

impl Size {
    /// What a busy server of a small company has.
    pub const USUAL: Self = Self {
        connections: 100,
        fingerprints: 100,
        principals: 100,
    };
}

/// Rules as an operator would set them, none of which fires.
pub const RULES: &str = r#"
[[threshold]]
name = "rows in ten minutes"
window = "10m"
limit = 1000000000000
[[threshold]]
name = "rows in an hour"
table = "t1*"
window = "1h"
limit = 1000000000000
[[threshold]]
name = "bytes in a minute"
measure = "bytes"
window = "1m"
limit = "1000 TB"
[[threshold]]
name = "rows of a statement"
per = "statement"
limit = 1000000000000
"#;

/// The configuration of [`RULES`].
pub fn config() -> Config {
    Config::parse(RULES, std::path::Path::new("bench")).expect("valid configuration")
}

/// Text of a statement, each on one of a hundred tables.
pub fn text(fingerprint: u64) -> String {
    format!(
        "SELECT c{fingerprint}, name, email FROM t{} WHERE id = $1",
        fingerprint % 100
    )
}

/// A pipeline that knows all connections, users and texts.
pub fn pipeline(size: Size) -> Pipeline {
    let mut pipeline = Pipeline::new(&config(), 1);
    let clock = Clock::now();
    for fingerprint in 0..size.fingerprints {
        pipeline.observe(
            &Observation::Text {
                language: sensor_user::sql::Language::Postgres,
                connection: 0,
                fingerprint: key(fingerprint),
                text: text(fingerprint).as_bytes(),
                truncated: false,
            },
            clock,
        );
    }
    // A principal stays when its connection is gone.
    for number in 0..size.connections.max(size.principals) {
        let user = number % size.principals;
        let address = u32::try_from(user).expect("few users") | 0x0a00_0000;
        let mut remote_address = [0; 16];
        remote_address[..4].copy_from_slice(&address.to_be_bytes());
        pipeline.observe(
            &Observation::Opened(OpenRecord {
                header: header(RecordKind::Open, number),
                time: 1,
                server_pid: u32::try_from(number).expect("few connections") + 1_000_000,
                server_parent: 999_999,
                family: FAMILY_INET,
                local_port: 5432,
                remote_port: 40_000,
                remote_address,
                ..OpenRecord::default()
            }),
            clock,
        );
        pipeline.observe(
            &Observation::Startup {
                kind: 0,
                connection: number + 1,
                parameters: format!("user\0agent{user}\0database\0crm\0\0").as_bytes(),
                truncated: false,
            },
            clock,
        );
        // Each is seen at work, or it would take no memory in volumes and windows.
        pipeline.observe(
            &Observation::Statement(statement(number, number, size)),
            clock,
        );
        if number >= size.connections {
            pipeline.observe(
                &Observation::Closed(CloseRecord {
                    header: header(RecordKind::Close, number),
                    time: 1_000_001_000 + number * 1000,
                    seen_sent: 300,
                    seen_received: 80,
                    ..CloseRecord::default()
                }),
                clock,
            );
            pipeline.settle();
        }
    }
    pipeline
}

/// The statement record number `index`, on connection `number`.
pub fn statement(index: u64, number: u64, size: Size) -> StatementRecord {
    // Multiplied, neighbours are far apart: no cache is warm by order alone.
    let fingerprint = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size.fingerprints;
    StatementRecord {
        header: RecordHeader {
            tag: CommandTag::Select as u8,
            ..header(RecordKind::Statement, number)
        },
        fingerprint: key(fingerprint),
        rows_returned: 3,
        bytes_sent: 300,
        bytes_received: 80,
        started: 1_000_000_000 + index * 1000,
        ended: 1_000_000_500 + index * 1000,
        queries: 1,
        ..StatementRecord::default()
    }
}

/// The same, on whichever connection.
pub fn nth(index: u64, size: Size) -> StatementRecord {
    let number = index.wrapping_mul(0xd6e8_feb8_6659_fd93) % size.connections;
    statement(index, number, size)
}

fn key(fingerprint: u64) -> u64 {
    fingerprint * 4 + 1
}

fn header(kind: RecordKind, number: u64) -> RecordHeader {
    RecordHeader {
        kind: kind as u8,
        connection: number + 1,
        ..RecordHeader::default()
    }
}
