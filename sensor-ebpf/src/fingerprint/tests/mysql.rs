//! MySQL's literals, names and comments.

use super::super::*;
use crate::bytes::BASE;

fn hash_by(text: &[u8], plain: bool) -> Hashed {
    let mut scratch = Scratch::boxed();
    let window = &mut scratch.window;
    // What lies around must not matter.
    window.set(BASE - 1, 3);
    for (i, byte) in text.iter().enumerate() {
        window.set(BASE + i as u32, *byte);
    }
    for i in 0..16 {
        window.set(BASE + text.len() as u32 + i, b'`');
    }
    fingerprint(
        &mut scratch,
        BASE,
        BASE + text.len() as u32,
        [0x9e37_79b9_7f4a_7c15, 42],
        MySql { plain },
    )
}

fn hash(text: &str) -> Hashed {
    hash_by(text.as_bytes(), false)
}

fn same(a: &str, b: &str) {
    assert_eq!(hash(a).fingerprint, hash(b).fingerprint, "{a} / {b}");
}

fn differ(a: &str, b: &str) {
    assert_ne!(hash(a).fingerprint, hash(b).fingerprint, "{a} / {b}");
}

#[test]
fn literals_do_not_count() {
    same(
        "SELECT a FROM t WHERE b = 1",
        "SELECT a FROM t WHERE b = 987654321",
    );
    for literal in [
        "'x'",
        "'a much longer text, with 123 and \"`#'",
        r"'it\'s'",
        r"'\\'",
        "'it''s'",
        r#"'\"'"#,
        "'-- no /* comment #'",
        "\"x\"",
        "\"a much longer text, with '`#\"",
        r#""it\"s""#,
        "?",
        "-5",
        "'\0'",
    ] {
        for at in 0..9 {
            let of = |literal| {
                format!(
                    "SELECT{:at$} a FROM customers WHERE b = {literal} AND c.d2 > 7 ORDER BY e",
                    ""
                )
            };
            same(&of(literal), &of("1"));
        }
    }
    same("SELECT a IN (?, ?, ?)", "SELECT a IN (1)");
    same("SELECT a IN (?,?)", "SELECT a IN ('x','it\\'s')");
    same(
        "INSERT INTO t VALUES (?,?),(?,?)",
        "INSERT INTO t VALUES (1, 'a')",
    );
    same("SELECT a -- b\nFROM t", "SELECT a -- c d\nFROM t");
    same("SELECT a # b\nFROM t", "SELECT a # 'c d\nFROM t");
    same("SELECT /* 'b */ a FROM t", "SELECT /* c \" ` # */ a FROM t");
    same("SELECT /*+ MAX_EXECUTION_TIME(1) */ a", "SELECT /*+ x */ a");
}

#[test]
fn code_counts() {
    for at in 0..9 {
        let space = " ".repeat(at);
        let of = |code: &str| format!("SELECT{space} * FROM {code} WHERE a = 'x'");
        for (a, b) in [
            ("customers", "tickets"),
            ("`customers`", "`tickets`"),
            ("`it's a`, customers", "`it's a`, tickets"),
            ("`a``b`, customers", "`a``b`, tickets"),
            ("\"customers\"", "\"tickets\""),
            ("dual, \"customers\"", "dual, \"tickets\""),
            ("a --1, customers\n", "a --1, tickets\n"),
            ("a /*! , customers */", "a /*! , tickets */"),
            ("a /*!40001 , customers */", "a /*!40001 , tickets */"),
            ("a /*M!100100 , customers */", "a /*M!100100 , tickets */"),
            ("a\0, customers", "a\0, tickets"),
            ("$1t", "$2t"),
            ("a$1", "a$2"),
            ("t1", "t2"),
            ("`t1`", "`t2`"),
        ] {
            differ(&of(a), &of(b));
        }
    }
    // Behind what may or may not end a name, all counts.
    differ(
        r#"SELECT 1 AS "a\", 2 AS "/*", c FROM customers -- */""#,
        r#"SELECT 1 AS "a\", 2 AS "/*", c FROM tickets -- */""#,
    );
    differ("SELECT f(\"a\")", "SELECT f(\"b\")");
    differ("SELECT a -5", "SELECT a 5");
    // Not the fingerprint of PostgreSQL's statement with this text.
    assert_ne!(
        hash("SELECT a").fingerprint,
        super::hash("SELECT a").fingerprint
    );
}

#[test]
fn a_backslash_is_a_byte_where_the_server_says_so() {
    let of = |table: &str| format!(r"SELECT '\' FROM {table} WHERE a = 'x'");
    let hash = |text: &str| hash_by(text.as_bytes(), true).fingerprint;
    assert_ne!(hash(&of("customers")), hash(&of("tickets")));
    assert_eq!(hash(r"SELECT '\' FROM t"), hash("SELECT 'x' FROM t"));
}

#[test]
fn finds_end_and_several_statements() {
    assert_eq!(hash("SELECT 1").length, 8);
    assert_eq!(hash("SELECT '\0' FROM t").length, 17);
    for (text, several) in [
        ("SELECT 1;", false),
        ("SELECT ';' FROM t;", false),
        ("SELECT \";\" FROM t;", false),
        ("SELECT `;` FROM t;", false),
        ("SELECT 1;SELECT 2", true),
        ("SELECT 1; # x\n", true),
        ("SELECT a;`x`", true),
        ("SELECT a;?", true),
    ] {
        // A comment behind the last statement may look like another one, no more.
        assert_eq!(hash(text).several || text.contains('#'), several, "{text}");
    }
    let long = format!("SELECT `{}", "a".repeat(6000));
    assert_eq!(hash(&long).length, CAPTURE);
    for open in ["'", "\"", "`", "/*", "#", "= \""] {
        let text = format!("SELECT {open}unterminated");
        assert_eq!(hash(&text).length, text.len() as u32);
    }
}
