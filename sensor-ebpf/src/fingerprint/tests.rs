use super::*;
use crate::bytes::BASE;

fn hash(text: &str) -> Hashed {
    let mut scratch = Scratch::boxed();
    let window = &mut scratch.window;
    for (i, byte) in text.bytes().enumerate() {
        window.set(BASE + i as u32, byte);
    }
    // Garbage behind the end must not matter.
    for i in 0..16 {
        window.set(BASE + text.len() as u32 + i, b'7');
    }
    fingerprint(
        &mut scratch,
        BASE,
        BASE + text.len() as u32,
        [0x9e37_79b9_7f4a_7c15, 42],
        Postgres,
    )
}

#[test]
fn what_lies_around_does_not_count() {
    let around = |text: &str, before: &[u8; 2], behind: u8| {
        let mut scratch = Scratch::boxed();
        let end = BASE + text.len() as u32;
        for (i, byte) in before.iter().chain(text.as_bytes()).enumerate() {
            scratch.window.set(BASE - 2 + i as u32, *byte);
        }
        scratch.window.set(end, behind);
        fingerprint(
            &mut scratch,
            BASE,
            end,
            [0x9e37_79b9_7f4a_7c15, 42],
            Postgres,
        )
    };
    for text in [
        r"E'a\'b'",
        "'a'",
        "-1",
        "-1, 2",
        "SELECT a /",
        "SELECT a -",
        "SELECT $",
        "SELECT b.E",
    ] {
        let alone = around(text, &[0; 2], 0);
        for before in [b"a ", b", ", b"= ", b" (", b" E", &[0xff; 2]] {
            for behind in *b"*-$1'/" {
                assert_eq!(
                    around(text, before, behind),
                    alone,
                    "{text}: {before:?}, {behind}"
                );
            }
        }
    }
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
        "SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
        "SELECT abalance FROM pgbench_accounts WHERE aid = 987654321;",
    );
    same(
        "SELECT * FROM t WHERE a='x'",
        "SELECT * FROM t WHERE a='a much longer text, with 123'",
    );
    same("SELECT 'it''s' FROM t", "SELECT 'its' FROM t");
    same(r"SELECT E'a\'b' FROM t", r"SELECT E'ab' FROM t");
    same("SELECT * FROM t WHERE a=$1", "SELECT * FROM t WHERE a=$12");
    same(
        "SELECT /* c 1 */ x FROM t",
        "SELECT /* other comment */ x FROM t",
    );
    same("SELECT x FROM t -- a", "SELECT x FROM t -- bc");
    for before in ["a = ", "a + ", "b * ", "a <= ", "f(", "f( ", "(a, ", "(a,"] {
        for space in 0..9 {
            let of = |number| format!("SELECT{:space$} {before}{number} FROM t", "");
            same(&of("-5"), &of("12345678"));
        }
    }
    same("SELECT a IN (-1, 2,-3, -4)", "SELECT a IN (7)");
    same("SELECT 1 WHERE a = '", "SELECT 2 WHERE a = 'unterminated");
}

#[test]
fn what_set_sets_counts() {
    for (a, b) in [
        ("SET ROLE 'ann'", "SET ROLE 'bob'"),
        ("set local role 'ann'", "set local role 'bob'"),
        (
            "SET application_name = 'a--1'",
            "SET application_name = 'a--2'",
        ),
        (
            "SET application_name = 'a/*1'",
            "SET application_name = 'a/*2'",
        ),
        ("SET x = 1; SELECT 1", "SET x = 2; SELECT 1"),
    ] {
        differ(a, b);
        assert!(sees_literals(a.as_bytes()) && sees_literals(b.as_bytes()));
    }
    assert!(hash("SET x = 1; SELECT 1").several);
    assert!(!hash("SET x = 1;").several);
    same("SETTING '1'", "SETTING '2'");
    same("UPDATE t SET a = 1", "UPDATE t SET a = 2");
    assert!(!sees_literals(b"BEGIN; SET ROLE 'x'") && !sees_literals(b"SET"));
}

#[test]
fn a_list_ends_where_it_ends() {
    for list in [
        "(1,2,3)",
        "(1, 2, 3)",
        "('a','b')",
        "('a', 'b', 'c')",
        "(12345678, 87654321)",
    ] {
        let of = |behind: &str| format!("SELECT a FROM t WHERE b IN {list}{behind}");
        same(
            &of(" AND c = 1"),
            "SELECT a FROM t WHERE b IN (7) AND c = 2",
        );
        differ(&of(" AND c = 1"), &of(" AND d = 1"));
        same(&of(""), "SELECT a FROM t WHERE b IN (7)");
    }
    // A separator without a literal behind it is code, at the text's very end, too.
    differ("SELECT 1, a", "SELECT 1 a");
    differ("SELECT 'x', a", "SELECT 'x' a");
    for text in ["SELECT 1,", "SELECT 1, ", "SELECT 'x',", "SELECT 'x', "] {
        differ(text, "SELECT 1");
    }
    // Literals of any length around a word's border.
    for length in 1..40 {
        let literal = "7".repeat(length);
        same(
            &format!("SELECT {literal}, {literal} FROM t"),
            "SELECT 1, 2 FROM t",
        );
        same(
            &format!("SELECT '{literal}', '{literal}' FROM t"),
            "SELECT '1', '2' FROM t",
        );
    }
}

#[test]
fn lists_collapse() {
    same(
        "SELECT * FROM t WHERE a IN (1, 2, 3)",
        "SELECT * FROM t WHERE a IN (44)",
    );
    same(
        "INSERT INTO t VALUES (1,'a'),(2,'b')",
        "INSERT INTO t VALUES (1,'a')",
    );
    same(
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO t VALUES (1)",
    );
}

#[test]
fn code_counts() {
    differ("SELECT * FROM t1", "SELECT * FROM t2");
    differ("SELECT * FROM customers", "SELECT * FROM tickets");
    differ("SELECT a1 FROM t", "SELECT a2 FROM t");
    differ(
        "SELECT * FROM t WHERE a = 1 AND b = 2",
        "SELECT * FROM t WHERE a = 1 OR b = 2",
    );
    differ("SELECT 1", "SELECT 1 FROM customers");
    differ("", "x");
    differ("SELECT a FROM b", "SELECT a FROM bb");
    // Minuses that are no sign, or may be none.
    differ("SELECT a -5", "SELECT a 5");
    differ("SELECT a - 5", "SELECT a 5");
    differ("SELECT (a) -5", "SELECT (a) 5");
    differ("SELECT a @-5", "SELECT a @5");
    differ("SELECT a = -b", "SELECT a = b");
    differ("SELECT 2 -5", "SELECT 2 5");
}

/// What looks like a literal's beginning, and is none, hides no code: no two of these are one.
#[test]
fn quotes_that_begin_no_literal_hide_nothing() {
    for (harmless, other) in [
        (
            "/* /* */ ' */ SELECT 1 --'",
            "/* /* */ ' */ SELECT c FROM customers --'",
        ),
        (
            "SELECT 1 AS \"'\" --'",
            "SELECT 1 AS \"'\", c FROM customers --'",
        ),
        (
            "SELECT 1 AS \"a\"\"'\" --'",
            "SELECT 1 AS \"a\"\"'\", c FROM customers --'",
        ),
        ("SELECT \"--\"\n FROM a", "SELECT \"--\"\n FROM b"),
        ("SELECT \"/*\", a", "SELECT \"/*\", b"),
        ("SELECT $$'$$ --'", "SELECT $$'$$, c FROM customers --'"),
        ("SELECT $a$'$a$ --'", "SELECT $a$'$a$, c FROM customers --'"),
        (
            "SELECT name'a' --'",
            "SELECT name'\\', c FROM customers --'",
        ),
        ("SELECT date 'a', 1", "SELECT date '\\', a, '1"),
        (
            "SELECT \u{e9}e'a' --'",
            "SELECT \u{e9}e'\\', c FROM customers --'",
        ),
    ] {
        // Wherever it stands in the words that are looked at.
        for blanks in 0..9 {
            let blanks = " ".repeat(blanks);
            differ(
                &format!("SELECT a,{blanks}b; {harmless}"),
                &format!("SELECT a,{blanks}b; {other}"),
            );
        }
        differ(harmless, other);
    }
    // And literals are none of the code where they are ones.
    for (one, other) in [
        (
            "SELECT a FROM \"t\" WHERE \"b\" = 'x'",
            "SELECT a FROM \"t\" WHERE \"b\" = 'y; --'",
        ),
        (
            "SELECT \"a1\", \"b\"\"c\" WHERE d = 1",
            "SELECT \"a1\", \"b\"\"c\" WHERE d = 23",
        ),
        ("SELECT E'\\'a' || e'b'", "SELECT E'c' || e'\\'d'"),
        ("SELECT \"x\" = E'\\'a'", "SELECT \"x\" = E'b'"),
        ("SELECT /* ' / * \" */ 'a'", "SELECT /* ' / * \" */ 'b'"),
        ("SELECT a$b$c, 'a'", "SELECT a$b$c, 'b'"),
        ("SELECT $1, 'a'", "SELECT $2, 'b'"),
    ] {
        same(one, other);
    }
    assert!(hash("SELECT $$;$$; SELECT 2").several);
}

#[test]
fn digits_in_words_are_no_literals() {
    for at in 0..9 {
        let space = " ".repeat(at);
        same(
            &format!("{space}SELECT column_12a, t1.c23 + 5 FROM tab34le WHERE x=6"),
            &format!("{space}SELECT column_12a, t1.c23 + 777 FROM tab34le WHERE x=66666666"),
        );
        differ(
            &format!("{space}SELECT column_12a FROM t"),
            &format!("{space}SELECT column_13a FROM t"),
        );
        same(
            &format!("{space}SELECT a[1], b|2, c@3, d^4, é5 FROM t"),
            &format!("{space}SELECT a[9], b|8, c@777, d^6, é5 FROM t"),
        );
    }
    use crate::bytes::swar;
    for byte in 0..=255u8 {
        let word = u64::from(byte) * swar::ONES;
        let all = |mask: u64, yes: bool| assert_eq!(mask, if yes { swar::HIGHS } else { 0 });
        all(swar::digits(word), byte.is_ascii_digit());
        all(
            swar::letters(word),
            (is_word(byte) && !byte.is_ascii_digit()) || byte == 0x7f,
        );
    }
}

#[test]
fn alignment_behind_a_literal_does_not_count() {
    for digits in 1..20 {
        same(
            &format!(
                "SELECT * FROM t WHERE a = {} AND name = 'x' ORDER BY b2",
                "9".repeat(digits)
            ),
            "SELECT * FROM t WHERE a = 1 AND name = 'yy' ORDER BY b2",
        );
    }
}

#[test]
fn finds_end_and_several_statements() {
    assert_eq!(hash("SELECT 1\0garbage").length, 8);
    assert_eq!(hash("SELECT 'a\0garbage").length, 9);
    assert_eq!(hash("SELECT 1").length, 8);
    assert!(!hash("SELECT 1;").several);
    assert!(hash("SELECT 1;SELECT 2").several);
    assert!(hash("SELECT a; SELECT 'x'").several);
    assert!(!hash("SELECT ';' FROM t;").several);
    assert!(hash("SELECT a;/**/'x'").several);
    assert_ne!(hash("").fingerprint, 0);
}

#[test]
fn long_texts_end_at_the_capture_limit() {
    let long = "a".repeat(6000);
    assert_eq!(hash(&long).length, CAPTURE);
    let ones = "1,".repeat(3000);
    assert_eq!(hash(&ones).length, CAPTURE);
}

mod mysql;
