//! Garbage, truncated and hostile bytes.

use std::{fmt::Write, time::Duration};

use harness::{
    Options, Volume, pause,
    raw::{self, Raw},
};

use crate::stage::{Stage, still_works};

/// Bytes that are no PostgreSQL, before and after start-up; the sensor and everybody else are unharmed.
#[test]
fn garbage_truncated_and_hostile_bytes() {
    let mut stage = Stage::new(&Options::default());
    let endpoints = [
        stage.server.unix(),
        stage.server.ipv4(),
        stage.server.ipv6(),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect()
    };
    let packet = raw::startup(&[("user", "bad"), ("database", &stage.database)]);
    let mut early: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0],
        vec![0; 4],
        vec![0; 8],
        vec![0xff; 8],
        vec![0, 0, 0, 8, 0, 3, 0, 0],
        vec![0, 0, 0, 9, 0, 3, 0, 0, 0],
        vec![0, 0, 0, 9, 0, 2, 0, 0, 0],
        vec![0, 0, 0x27, 0x10, 0, 3, 0, 0],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        raw::request(80_877_103),
        raw::cancel(1, 2)[..12].to_vec(),
        [
            raw::request(80_877_103),
            raw::request(80_877_103),
            raw::request(80_877_104),
        ]
        .concat(),
        raw::query("SELECT 1"),
        vec![b'x'; 100_000],
    ];
    early.extend(
        (1..packet.len())
            .step_by(3)
            .map(|length| packet[..length].to_vec()),
    );
    for length in [1, 5, 8, 13, 64, 1000, 5000, 20_000] {
        early.push(random(length));
    }
    for (n, bytes) in early.iter().enumerate() {
        let mut client = Raw::connect(&endpoints[n % 3]);
        client.try_send(bytes).ok();
        client.hang_up();
    }
    // After start-up. The server reads what is small at once, so that every byte is counted.
    let mut late: Vec<Vec<u8>> = vec![
        vec![1],
        vec![0; 5],
        vec![0xff; 100],
        b"Q\0\0\0\0".to_vec(),
        b"Q\0\0\0\x03".to_vec(),
        b"Q\0\0\0\x04".to_vec(),
        b"Q\0\0\0\x05x".to_vec(),
        b"Q\xff\xff\xff\xff".to_vec(),
        b"Q\x7f\xff\xff\xff".to_vec(),
        b"Q\x3f\xff\xff\xffSELECT".to_vec(),
        b"S\0\0\0\x05x".to_vec(),
        b"P\0\0\0\x04B\0\0\0\x04E\0\0\0\x04S\0\0\0\x04".to_vec(),
        b"P\0\0\0\x05\0B\0\0\0\x05\0E\0\0\0\x05\0D\0\0\0\x05PC\0\0\0\x04S\0\0\0\x04".to_vec(),
        b"B\0\0\0\x0e\0\0\xff\xff\xff\xff\xff\xff\xff\xffS\0\0\0\x04".to_vec(),
        b"F\0\0\0\x04S\0\0\0\x04".to_vec(),
        b"d\0\0\0\x04c\0\0\0\x04f\0\0\0\x04".to_vec(),
        b"p\0\0\0\x04".to_vec(),
        raw::startup(&[("user", "bad")]),
        raw::query("SELECT id FROM items WHERE id <= 5")[..20].to_vec(),
        raw::execute("none", 0)[..7].to_vec(),
        [raw::query("SELECT 1"), b"\0garbage".to_vec()].concat(),
        [b"X\0\0\0\x04".to_vec(), b"after the end".to_vec()].concat(),
    ];
    for length in [1, 6, 40, 500, 4000] {
        late.push(random(length));
    }
    let mut cases = Vec::new();
    for (n, bytes) in late.iter().enumerate() {
        let role = format!("bad_{n}");
        stage.role(&role);
        let mut client = Raw::start(&endpoints[n % 3], &role, &stage.database);
        client.send(bytes);
        // Time to be read as one; then the end.
        pause(Duration::from_millis(20));
        let (bytes_sent, bytes_received) = client.hang_up();
        let volume = Volume {
            bytes_sent,
            bytes_received,
            ..Volume::default()
        };
        cases.push((role, bytes, volume));
    }
    stage.play("good", |client| vec![still_works(client)]);
    let database = stage.database.clone();
    let output = stage.finish();
    let metrics = output.metrics();
    let mut differences = String::new();
    let mut rows = 0;
    for (role, bytes, expected) in &cases {
        let got = Volume::of(&metrics, &database, role);
        rows += got.rows_returned;
        if got.bytes_only() != *expected || got.queries > 1 {
            let bytes = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
            writeln!(
                differences,
                "{role} {bytes:?}, bytes:\n  expected {expected:?}\n  got      {got:?}"
            )
            .expect("write");
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    // Of all that, `SELECT 1` is the one statement that returned a row.
    assert_eq!(rows, 1, "rows expected | got");
}
