//! Finding and reading `CommandComplete` from its end.

use crate::protocol::postgres::completion::{
    SINGLE_DIGIT, completion_before, ends_ready, parse_tag, single_digit,
};
use crate::{
    bytes::{BASE, Window},
    record::CommandTag,
};

fn window(bytes: &[u8]) -> (Box<Window>, u32) {
    let mut window = Window::boxed();
    for (i, byte) in bytes.iter().enumerate() {
        window.set(BASE + i as u32, *byte);
    }
    (window, BASE + bytes.len() as u32)
}

fn completion(tag: &str) -> Vec<u8> {
    let mut message = vec![b'C'];
    message.extend((tag.len() as u32 + 5).to_be_bytes());
    message.extend(tag.as_bytes());
    message.push(0);
    message
}

#[test]
fn finds_the_completion_before_ready() {
    for (tag, command, count) in [
        ("SELECT 0", CommandTag::Select, 0),
        ("SELECT 7", CommandTag::Select, 7),
        ("SELECT 12345678", CommandTag::Select, 12_345_678),
        ("SELECT 123456789012", CommandTag::Select, 123_456_789_012),
        (
            "INSERT 0 1234567890123",
            CommandTag::Insert,
            1_234_567_890_123,
        ),
        ("UPDATE 10", CommandTag::Update, 10),
        ("DELETE 99", CommandTag::Delete, 99),
        ("MERGE 3", CommandTag::Merge, 3),
        ("FETCH 100", CommandTag::Fetch, 100),
        ("MOVE 5", CommandTag::Move, 5),
        ("COPY 10000000", CommandTag::Copy, 10_000_000),
        ("BEGIN", CommandTag::Transaction, 0),
        ("START TRANSACTION", CommandTag::Transaction, 0),
        ("COMMIT", CommandTag::Transaction, 0),
        ("COMMIT PREPARED", CommandTag::Other, 0),
        ("COMMENT", CommandTag::Other, 0),
        ("ROLLBACK", CommandTag::Other, 0),
        ("SET", CommandTag::Set, 0),
        ("SET CONSTRAINTS", CommandTag::Set, 0),
        ("SECURITY LABEL", CommandTag::Other, 0),
        ("DO", CommandTag::Other, 0),
        ("CREATE TABLE", CommandTag::Other, 0),
        ("DECLARE CURSOR", CommandTag::Other, 0),
    ] {
        for before in [
            &b""[..],
            b"D\0\0\0\x0a\0\x01\0\0\0\0",
            b"CCC\0\0\0\x0e12345678901234567890",
        ] {
            let mut bytes = before.to_vec();
            let message = completion(tag);
            bytes.extend(&message);
            bytes.extend(b"Z\0\0\0\x05T");
            let (mut window, end) = window(&bytes);
            assert!(ends_ready(&mut window, end));
            assert_eq!(
                completion_before(&mut window, end, BASE) as usize,
                message.len(),
                "{tag}"
            );
            let start = end - 6 - message.len() as u32;
            assert_eq!(
                parse_tag(&mut window, start + 5, message.len() as u32 - 5),
                (command, count)
            );
        }
    }
}

#[test]
fn does_not_find_a_completion_that_is_none() {
    for bytes in [
        &b"E\0\0\0\x10SERROR\0CXX000\0\0Z\0\0\0\x05I"[..],
        b"C\0\0\0\x0eSELECT 1\0Z\0\0\0\x05I",
        b"Z\0\0\0\x05I",
        b"\0\0\0\0\0\0\0\0\0\0\0\0Z\0\0\0\x05I",
    ] {
        let (mut window, end) = window(bytes);
        assert!(ends_ready(&mut window, end));
        assert_eq!(completion_before(&mut window, end, BASE), 0);
    }
    for bytes in [&b"Z\0\0\0\x05X"[..], b"Z\0\0\0\x06I", b"0123456789"] {
        let (mut window, end) = window(bytes);
        assert!(!ends_ready(&mut window, end));
    }
}

#[test]
fn the_short_way_says_what_the_long_one_says() {
    for tag in [
        "SELECT 0",
        "SELECT 1",
        "SELECT 9",
        "SELECT 10",
        "SELECT x",
        "SELECT",
        "DELETE 1",
        "FETCH 1",
        "INSERT 0 1",
    ] {
        let mut bytes = completion(tag);
        bytes.extend(b"Z\0\0\0\x05I");
        let (mut window, end) = window(&bytes);
        let total = completion_before(&mut window, end, BASE);
        let (command, count) = parse_tag(&mut window, end - 6 - total + 5, total - 5);
        let short = single_digit(&mut window, end);
        assert_eq!(
            short,
            (command == CommandTag::Select && total == SINGLE_DIGIT && tag != "SELECT x")
                .then_some(count),
            "{tag}"
        );
        // A message that only looks like one.
        window.set(end - 20, b'D');
        assert_eq!(single_digit(&mut window, end), None, "{tag}");
    }
}
