//! Texts that do not parse, and texts made to break whoever reads them.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::sql::{
    Cursor, EgressRoute, Shape,
    postgres::{
        LONGEST_FALLBACK, analyse,
        lex::{Kind, Rules, lex},
        tests::canary::STATEMENTS,
    },
};

fn fallback(sql: &[u8], truncated: bool) -> Shape {
    let shape = analyse(sql, truncated).remove(0);
    assert!(!shape.parsed);
    shape
}

fn check(sql: &str, truncated: bool, operation: &str, tables: &str, text: &str) {
    let shape = fallback(sql.as_bytes(), truncated);
    let found: Vec<&str> = shape.tables.iter().map(|table| &**table).collect();
    assert_eq!(
        (&*shape.operation, &*found.join(" "), &*shape.text),
        (operation, tables, text),
        "{sql}"
    );
}

#[test]
fn a_cut_statement_keeps_what_is_certain() {
    check(
        "SELECT a, b FROM crm.Customers c JOIN t2 ON x = 'abc",
        true,
        "SELECT",
        "crm.customers t2",
        "SELECT a, b FROM crm.Customers c JOIN t2 ON x =",
    );
    check(
        "SELECT * FROM a, b x, c WHERE custom",
        true,
        "SELECT",
        "a b c",
        "SELECT * FROM a, b x, c WHERE",
    );
    check("SELECT * FROM custom", true, "SELECT", "", "SELECT * FROM");
    check(
        "WITH x AS (SELECT * FROM a) INSERT INTO b (i) SELECT * FROM x WHERE i IN (1, 2, 3",
        true,
        "INSERT",
        "a b",
        "WITH x AS (SELECT * FROM a) INSERT INTO b(i) SELECT * FROM x WHERE i IN (?,",
    );
    check(
        "SELECT extract(year FROM d), \"Q\" FROM f(1), t WHERE a IS DISTINCT FROM b AND ",
        true,
        "SELECT",
        "t",
        "SELECT extract(year FROM d), \"Q\" FROM f(?), t WHERE a IS DISTINCT FROM b AND",
    );
    check(
        "UPDATE t SET a = 1 FROM s FOR UPDATE OF x, y",
        true,
        "UPDATE",
        "t s",
        "UPDATE t SET a = ? FROM s FOR UPDATE OF x,",
    );
}

#[test]
fn other_dialects() {
    check(
        "SELECT `a` FROM `My`.`T` WHERE b = \"x\"",
        false,
        "SELECT",
        "My.T",
        "SELECT ? FROM `My`.`T` WHERE b = ?",
    );
    check(
        "SELECT TOP 5 * FROM [dbo].[t]",
        false,
        "SELECT",
        "",
        "SELECT TOP ? * FROM[dbo].[t]",
    );
    check(
        "REVOKE x y FROM z",
        false,
        "REVOKE",
        "",
        "REVOKE x y FROM z",
    );
}

#[test]
fn nothing_to_see() {
    for sql in [
        "",
        " \n",
        ";",
        ";; ;",
        "-- ping",
        "/* x */;",
        "hunter2",
        "\0SELECT 1",
        "!!!",
    ] {
        let shapes = analyse(sql.as_bytes(), false);
        assert_eq!(shapes.len(), 1);
        assert_eq!(
            (&*shapes[0].operation, &*shapes[0].text, shapes[0].parsed),
            ("", "", false),
            "{sql:?}"
        );
    }
}

#[test]
fn a_cut_text_has_complete_statements_before_the_last() {
    let shapes = analyse(
        b"SELECT * FROM a; DECLARE c CURSOR FOR SELECT * FROM b WHERE x = 'y; z",
        true,
    );
    assert_eq!(shapes.len(), 2);
    assert!(shapes[0].parsed && !shapes[1].parsed);
    assert_eq!(shapes[1].cursor, Some(Cursor::Declares("c".into())));
    assert_eq!(shapes[1].tables, ["b".into()]);
    // Nor does one that a backslash may have put into a literal.
    let shapes = analyse(br"SELECT 'it\'s; select s3cret, name 'x", true);
    assert_eq!((shapes.len(), &*shapes[0].text), (1, "SELECT ?"));
    // The `;` of a comment ends nothing.
    let shapes = analyse(b"SELECT 1 -- x; select name from y", true);
    assert_eq!(shapes.len(), 1);
    assert_eq!(&*shapes[0].text, "SELECT ?");
}

#[test]
fn ways_out_without_a_tree() {
    let egress = |sql: &str| {
        fallback(sql.as_bytes(), true)
            .egress
            .map(|e| (e.route, e.destination.to_string()))
    };
    assert_eq!(
        egress("COPY (SELECT 1) TO '/tmp/x' WITH (FORMAT"),
        Some((EgressRoute::CopyToFile, "/tmp/x".into()))
    );
    assert_eq!(
        egress("COPY t TO PROGRAM 'gzip > x' WITH ("),
        Some((EgressRoute::CopyToProgram, "gzip".into()))
    );
    assert_eq!(
        egress("SELECT lo_export(a, 'x') FROM "),
        Some((EgressRoute::LargeObjectExport, String::new()))
    );
    assert_eq!(egress("SELECT lo_export FROM "), None);
}

#[test]
fn fallback_text_is_short() {
    let shape = fallback(
        format!("SELECT {}FROM", "abc, ".repeat(1000)).as_bytes(),
        true,
    );
    assert!(shape.text.len() <= LONGEST_FALLBACK && shape.text.len() > LONGEST_FALLBACK - 10);
}

/// Xorshift: the same texts in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).unwrap_or(0)
    }
}

fn hostile() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let units = concat!(
        "(¦[¦'¦\"¦$¦$a$¦/*¦--¦;¦\\¦,¦.¦-¦+¦::¦E'¦U&'¦a.¦IN (¦IN (1,¦VALUES (¦ARRAY[¦NOT ¦",
        "SELECT ¦SELECT (¦(SELECT ¦SELECT * FROM (¦WITH a AS (¦CASE WHEN ¦a||¦1+¦- ¦f(¦",
        "a AND ¦a=b OR ¦SELECT 1 UNION ¦SELECT 1 UNION ALL (¦a JOIN ¦EXPLAIN ¦a::b¦x[¦$1¦",
        "0x¦1e¦1_¦é¦`¦#¦begin; ¦CREATE SCHEMA a CREATE TABLE b(¦INTERSECT ¦@ ",
    );
    for unit in units.split('¦') {
        for prefix in ["", "SELECT ", "SELECT * FROM t WHERE "] {
            let mut text = prefix.as_bytes().to_vec();
            while text.len() < 4096 {
                text.extend_from_slice(unit.as_bytes());
            }
            text.truncate(4096);
            texts.push(text);
        }
    }
    // Well-formed, and as deep as 4 KiB allow.
    let nest = |open: &str, core: &str, close: &str| {
        let depth = 4000 / (open.len() + close.len());
        format!("SELECT {}{core}{}", open.repeat(depth), close.repeat(depth)).into_bytes()
    };
    for (open, close) in [
        ("(", ")"),
        ("(SELECT ", ")"),
        ("f(", ")"),
        ("ARRAY[", "]"),
        ("NOT ", ""),
        ("- ", ""),
        ("CASE WHEN 1 THEN ", " END"),
        ("1+", ""),
        ("", "::int"),
        ("1 || ", ""),
        ("1 = ANY(ARRAY[", "])"),
        ("", " UNION SELECT 1"),
        ("", "[1]"),
        ("ROW(", ")"),
        ("", " COLLATE c"),
        ("1 IN (", ")"),
        ("EXISTS (VALUES (", "))"),
        ("", " IS NULL"),
    ] {
        texts.push(nest(open, "1", close));
    }
    texts.push(
        format!(
            "SELECT * FROM {}a{}",
            "(SELECT * FROM ".repeat(200),
            ") x".repeat(200)
        )
        .into_bytes(),
    );
    texts.push(format!("SELECT * FROM a {}", "JOIN b ON true ".repeat(250)).into_bytes());
    texts.push(vec![0xff; 4096]);
    texts.push((0..4096u32).map(|n| (n % 255 + 1) as u8).collect());
    texts
}

/// On a stack as small as those of tokio's workers. A crash in the C code would end the test run.
#[test]
fn hostile_texts_on_a_small_stack() {
    let run = || {
        for text in hostile() {
            for truncated in [false, true] {
                let start = Instant::now();
                let shapes = analyse(&text, truncated);
                assert!(!shapes.is_empty());
                let limit = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 200 });
                let took = start.elapsed();
                assert!(
                    took < limit,
                    "{took:?} for {}…",
                    String::from_utf8_lossy(&text[..40])
                );
            }
        }
    };
    let thread = thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(run)
        .expect("thread");
    thread.join().expect("no panic");
}

/// A statement that is deeper than the decoder goes is still read by PostgreSQL's rules.
#[test]
fn too_deep_for_a_tree() {
    let sql = format!(
        "SELECT {}\"Q\" FROM t WHERE a = 's3cret'",
        "a || ".repeat(200)
    );
    let shape = fallback(sql.as_bytes(), false);
    assert_eq!(shape.tables, ["t".into()]);
    assert!(shape.text.starts_with("SELECT a || a") && !shape.text.contains("s3cret"));
}

/// Where PostgreSQL's scanner accepts a text, ours finds its literals at the same places.
#[test]
fn literals_end_where_postgres_ends_them() {
    use pg_query::protobuf::Token as Pg;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let parts = [
        "'", "''", "\\", "\"", "$$", "$a$", "E'", "U&'", "U&\"", "B'", "X'", "n'", "/*", "*/",
        "--", "\n", "\r", " ", "a", "e", "1", ".", "..", "1e5", "$1", "+", "-", "=-", "@-", "*",
        "/", "(", ")", ";", ",", "é", "::", ":=", "x$y", "0x1f", "1_0", "|", "`", "#",
    ];
    let mut compared = 0;
    let mut texts: Vec<String> = STATEMENTS.iter().map(ToString::to_string).collect();
    for _ in 0..40_000 {
        let count = 1 + random.below(12);
        texts.push(
            (0..count)
                .map(|_| parts[random.below(parts.len())])
                .collect(),
        );
    }
    for text in &texts {
        // Not `scan_tokens`: it makes a slice of a null pointer when there are none.
        let Ok(pg_query::protobuf::ScanResult {
            tokens: expected, ..
        }) = pg_query::scan(text)
        else {
            continue;
        };
        let kind = |token| match token {
            Pg::Sconst | Pg::Usconst | Pg::Bconst | Pg::Xconst => Some(Kind::Str),
            Pg::Iconst | Pg::Fconst => Some(Kind::Num),
            Pg::Param => Some(Kind::Param),
            Pg::SqlComment | Pg::CComment => None,
            _ => Some(Kind::Word),
        };
        // N'x' is two tokens there and one here.
        let mut prefix = None;
        let mut literals = Vec::new();
        for token in &expected {
            let start = usize::try_from(token.start).unwrap_or(0);
            let end = usize::try_from(token.end).unwrap_or(0);
            if token.token() == Pg::Nchar && text[end..].starts_with('\'') && end == start + 1 {
                prefix = Some(start);
            } else if let Some(kind) = kind(token.token()) {
                literals.push((kind, prefix.take().unwrap_or(start)));
            }
        }
        let expected = literals;
        let other = |kind| {
            if matches!(kind, Kind::Quoted | Kind::Op | Kind::Punct) {
                Kind::Word
            } else {
                kind
            }
        };
        let ours: Vec<(Kind, usize)> = lex(text, Rules::default())
            .iter()
            .map(|token| (other(token.kind), token.start))
            .collect();
        assert_eq!(ours, expected, "{text:?}");
        compared += 1;
    }
    assert!(
        compared > 5_000,
        "only {compared} of the texts were accepted"
    );
}

/// Statements with bytes replaced, doubled and dropped: nothing panics, and nothing in C aborts.
#[test]
fn mutated_statements() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..4_000 {
        let mut text = STATEMENTS[round % STATEMENTS.len()].as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(text.len());
            match random.below(4) {
                0 => _ = text.remove(at),
                1 => text[at] = b"'\"\\$();,.-/*\0\xff e1"[random.below(17)],
                2 => text.truncate(at + 1),
                _ => text.extend_from_within(at..),
            }
            text.push(b' ');
        }
        assert!(!analyse(&text, random.below(2) == 0).is_empty());
    }
}
