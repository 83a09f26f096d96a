use super::*;
use crate::{bytes::BASE, fingerprint::fingerprint, random::draws};

const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 42];

/// Puts a text into the window, garbage behind it, and returns its end.
fn put(scratch: &mut Scratch, text: &str) -> u32 {
    for (i, byte) in text.bytes().chain(*b"7777'''';;;;    ").enumerate() {
        scratch.window.set(BASE + i as u32, byte);
    }
    BASE + text.len() as u32
}

fn hashed(text: &str) -> Hashed {
    let mut scratch = Scratch::boxed();
    let end = put(&mut scratch, text);
    fingerprint(&mut scratch, BASE, end, KEYS)
}

/// One place for templates, used as the kernel programs do.
struct Place {
    scratch: Box<Scratch>,
    template: Template,
}

impl Place {
    fn new() -> Self {
        Self {
            scratch: Scratch::boxed(),
            template: Template::NONE,
        }
    }

    /// The hash of a text, and whether it was recognised.
    fn hash(&mut self, text: &str) -> (Hashed, bool) {
        let Self { scratch, template } = self;
        let end = put(scratch, text);
        if recognise(scratch, template, BASE, end) {
            return (scratch.hashed, true);
        }
        scratch.hashed = fingerprint(scratch, BASE, end, KEYS);
        learn(scratch, template, BASE, end);
        (scratch.hashed, false)
    }

    /// After a text has come often enough.
    fn knowing(text: &str) -> Self {
        let mut place = Self::new();
        for _ in 0..2 {
            assert_eq!(place.hash(text), (hashed(text), false));
        }
        place
    }
}

#[test]
fn a_statement_is_recognised_whatever_its_literals() {
    for (first, others) in [
        (
            "SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
            &["SELECT abalance FROM pgbench_accounts WHERE aid = 98765;"][..],
        ),
        ("BEGIN;", &["BEGIN;"]),
        (
            "UPDATE pgbench_accounts SET abalance = abalance + -1234 WHERE aid = 9",
            &["UPDATE pgbench_accounts SET abalance = abalance + -2 WHERE aid = 12345678"],
        ),
        (
            "SELECT name FROM customers WHERE email = 'a@example.com' LIMIT 10",
            &[
                "SELECT name FROM customers WHERE email = '' LIMIT 1",
                "SELECT name FROM customers WHERE email = 'somebody.else@example.com' LIMIT 999",
            ],
        ),
    ] {
        let mut place = Place::knowing(first);
        for text in [&first].into_iter().chain(others) {
            assert_eq!(place.hash(text), (hashed(text), true), "{text}");
        }
    }
}

#[test]
fn what_differs_is_hashed() {
    let mut place = Place::knowing("SELECT a FROM accounts WHERE id = 5 AND b = 'x';");
    for text in [
        "SELECT a FROM accounts WHERE id = 5 AND b = 'x'",
        "SELECT a FROM accounts WHERE id = 5 AND b = 'x';;",
        "SELECT a FROM accounts WHERE id = 5 AND b = 'x''y';",
        "SELECT a FROM accounts WHERE id = 5 AND b = 'x",
        "SELECT a FROM accounts WHERE id = '5' AND b = 'x';",
        "SELECT a FROM accounts WHERE id = 5.0 AND b = 'x';",
        "SELECT a FROM accounts WHERE id = x AND b = 'x';",
        "SELECT a FROM accounts WHERE ix = 5 AND b = 'x';",
        "SELECT a FROM accounts WHERE id = 5",
        "SELECT a FROM account",
    ] {
        assert_eq!(place.hash(text), (hashed(text), false), "{text}");
    }
}

#[test]
fn a_place_is_kept_by_whom_it_serves() {
    let known = "SELECT a FROM accounts WHERE id = 5";
    let other = "SELECT b FROM accounts WHERE id = 5";
    let mut place = Place::knowing(known);
    assert!(place.hash(known).1);
    // Once is chance; again and again, with nobody in between, is another statement's turn.
    place.hash(other);
    assert!(place.hash(known).1);
    for _ in 0..3 {
        place.hash(other);
    }
    assert!(place.hash(other).1);
    assert!(!place.hash(known).1);
}

#[test]
fn too_long_too_many_or_ended_by_a_nul() {
    let long = format!("SELECT {} FROM t WHERE id = 5", "a_column, ".repeat(30));
    let many = "SELECT a, b, c FROM some_table WHERE a = 1 AND b = 2 AND c = 3 AND d = 4 AND e = 5";
    let early = "SELECT 5 AS a, b FROM some_table";
    for text in [&long, many, early, "SELECT a FROM t\0 WHERE b = 1"] {
        let mut place = Place::knowing(text);
        assert_eq!(place.hash(text), (hashed(text), false), "{text}");
    }
    // The NUL that ends each text on the wire does not matter.
    let mut place = Place::knowing("SELECT a FROM accounts WHERE id = 5\0");
    let text = "SELECT a FROM accounts WHERE id = 67\0";
    assert_eq!(place.hash(text), (hashed(text), true));
}

/// Whatever is recognised has the hash that the lexer would give.
#[test]
fn never_another_hash_than_the_lexers() {
    const NUMBERS: [&str; 4] = ["1", "23", "0", "12345678901"];
    const QUOTED: [&str; 4] = ["'x'", "''", "'a, 1; -- b'", "'0123456789abcdef'"];
    const CODE: [&str; 34] = [
        "a",
        "t1",
        " ",
        " ",
        ",",
        ", ",
        "(",
        ")",
        "),(",
        "), (",
        "'it''s'",
        "E'a\\'b'",
        "e",
        "B",
        "e''",
        "$1",
        "$",
        "a$1",
        "/* c 1 */",
        "/*",
        "*/",
        "-- c\n",
        "-",
        "/",
        ".",
        ";",
        "::",
        "&",
        " AND id = ",
        "ARRAY[",
        "column_12",
        "é5",
        "'",
        "_",
    ];
    let mut draw = draws();
    let mut recognised = 0;
    for _ in 0..30_000 {
        // What leads to a template, then parts; in variants literals become others, sometimes of the other kind, and
        // sometimes code does.
        let parts: Vec<(usize, usize)> =
            (0..draw(9)).map(|_| (draw(4), draw(CODE.len()))).collect();
        let mut variant = |swaps: bool| {
            let mut text = String::from("SELECT a, bb FROM tables ");
            for &(kind, code) in &parts {
                let kind = if swaps && draw(20) == 0 {
                    draw(4)
                } else {
                    kind
                };
                text += match kind {
                    0 => NUMBERS[draw(NUMBERS.len())],
                    1 => QUOTED[draw(QUOTED.len())],
                    _ if swaps && draw(30) == 0 => CODE[draw(CODE.len())],
                    _ => CODE[code],
                };
            }
            text
        };
        let first = variant(false);
        let mut place = Place::new();
        place.hash(&first);
        place.hash(&first);
        for swaps in [false, false, true, true] {
            let text = variant(swaps);
            let (hash, known) = place.hash(&text);
            assert_eq!(hash, hashed(&text), "`{first}` / `{text}`");
            recognised += u32::from(known);
        }
    }
    assert!(recognised > 20_000, "{recognised} of 120,000");
}
