//! The normalised text.

use super::{one, text};
use crate::sql::postgres::analyse;

#[test]
fn literals_become_placeholders() {
    for (sql, expected) in [
        (
            "SELECT 1, -2.5e-3, 'a''b', E'a\\'b', $$x$$, $t$ $$ $t$, B'01', X'ff', U&'\\0041', N'x'",
            "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?",
        ),
        (
            "SELECT a-1, a - 1, (a) -1, a*-1, a=-1",
            "SELECT a - ?, a - ?, (a) - ?, a * ?, a = ?",
        ),
        (
            "SELECT * FROM t LIMIT 10 OFFSET -1",
            "SELECT * FROM t LIMIT ? OFFSET ?",
        ),
        ("SELECT 'a'\n  'b' -- c\n 'd'", "SELECT ?"),
        (
            "SELECT a /* 'x */,/* /* */ */ b -- '\nFROM t",
            "SELECT a, b FROM t",
        ),
        (
            "SELECT f ( 1 ),count(*)::int4 FROM t WHERE x IN(1 , 2)",
            "SELECT f(?), count(*)::int4 FROM t WHERE x IN (?)",
        ),
        (
            "SELECT a[1:2], \"Q q\" . b, data->>'k' FROM t",
            "SELECT a[? : ?], \"Q q\".b, data ->> ? FROM t",
        ),
        ("SET work_mem = '64MB'", "SET work_mem = ?"),
        ("SET app.token TO s3cret, other", "SET app.token TO ?"),
        ("SELECT 'C:\\' || x", "SELECT ? || x"),
    ] {
        assert_eq!(text(sql), expected);
    }
}

#[test]
fn the_number_of_values_makes_no_difference() {
    for same in [
        &[
            "SELECT * FROM t WHERE a IN (1)",
            "SELECT * FROM t WHERE a IN (1,2,3)",
            "SELECT * FROM t WHERE a in ($1, $2)",
        ]
        .map(|sql| text(sql).replace(" in ", " IN "))[..],
        &[
            "INSERT INTO t VALUES (1,'a')",
            "INSERT INTO t VALUES (1, 'a'), (2, 'b'),($1,$2)",
        ]
        .map(text),
        &[
            "INSERT INTO t VALUES (1, now()) RETURNING a, a",
            "INSERT INTO t VALUES (1,now()),(2,now()) RETURNING a, a",
        ]
        .map(text),
        &[
            "SELECT ARRAY[1,2]",
            "SELECT ARRAY[1]",
            "SELECT ARRAY[$1,-3,4]",
        ]
        .map(text),
        &[
            "SELECT 1 WHERE (a,b) IN ((1,2))",
            "SELECT 1 WHERE (a,b) IN ((1,2),(3,4))",
        ]
        .map(text),
        &[
            "SELECT x FROM t WHERE id = $1 AND n = $2 LIMIT $3",
            "SELECT x FROM t WHERE id = -7 AND n='o''x' LIMIT 5",
        ]
        .map(text),
    ] {
        assert!(same.windows(2).all(|pair| pair[0] == pair[1]), "{same:#?}");
    }
    assert_eq!(
        text("INSERT INTO t VALUES (1,2),(DEFAULT,4),(5,6)"),
        "INSERT INTO t VALUES (?, ?), (DEFAULT, ?), (?, ?)"
    );
    assert_eq!(text("SELECT f(1, 1), 1, 1"), "SELECT f(?, ?), ?, ?");
    assert_eq!(
        text("SELECT 1 WHERE x IN ((a), (a) IS NULL)"),
        "SELECT ? WHERE x IN ((a), (a) IS NULL)"
    );
}

#[test]
fn a_client_with_backslash_escapes() {
    let shape = one(r"SELECT * FROM t WHERE a = 'it\'s s3cret' AND b = 1");
    assert_eq!(&*shape.text, "SELECT * FROM t WHERE a = ? AND b = ?");
    assert_eq!(shape.tables, ["t".into()]);
}

#[test]
fn a_single_byte_encoding_parses() {
    let shape = &analyse(b"SELECT * FROM kunden WHERE name = 'M\xfcller'", false)[0];
    assert_eq!(
        (&*shape.text, shape.parsed),
        ("SELECT * FROM kunden WHERE name = ?", true)
    );
}
