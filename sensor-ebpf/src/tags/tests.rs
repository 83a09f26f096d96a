use super::*;
use crate::{
    bytes::BASE,
    fingerprint::{Postgres, fingerprint},
    random::draws,
};

const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 42];

fn ours() -> Names {
    names(["user", "application"])
}

/// What both sides make of a text: the fingerprint, and the values.
fn both(text: &str) -> (u64, [Option<String>; 2]) {
    let mut scratch = Scratch::boxed();
    // What lies around must not matter.
    for (at, byte) in b"/*x='y',user='".iter().enumerate() {
        scratch.window.set(BASE - 14 + at as u32, *byte);
    }
    for (at, byte) in text.bytes().enumerate() {
        scratch.window.set(BASE + at as u32, byte);
    }
    let end = BASE + text.len() as u32;
    for (at, byte) in b"'*/ user='z'*/".iter().enumerate() {
        scratch.window.set(end + at as u32, *byte);
    }
    let hashed = fingerprint(&mut scratch, BASE, end, KEYS, Postgres);
    let end = BASE + hashed.length;
    let marked = if find(&mut scratch, BASE, end, &ours()) {
        mark(&mut scratch, hashed.fingerprint, KEYS[0])
    } else {
        hashed.fingerprint
    };
    let values = read(text.as_bytes(), &ours());
    let text =
        |value: Option<&[u8]>| value.map(|value| String::from_utf8(value.to_vec()).expect("UTF-8"));
    (marked, [text(values[0]), text(values[1])])
}

fn values(text: &str) -> [Option<String>; 2] {
    both(text).1
}

fn some(user: &str, application: &str) -> [Option<String>; 2] {
    [user, application].map(|value| (!value.is_empty()).then(|| value.to_owned()))
}

#[test]
fn tags_are_found_wherever_they_stand_among_others() {
    for (comment, user, application) in [
        ("user='ann'", "ann", ""),
        ("application='desk',user='ann'", "ann", "desk"),
        (
            "action='a',application='d',route='%2Fx',user='a%20b'",
            "a%20b",
            "d",
        ),
        ("user='ann',zone='z'", "ann", ""),
        (" user='ann' ,application='desk'", "ann", "desk"),
        ("db_user='root',user='ann'", "ann", ""),
        ("user='first',user='last'", "last", ""),
        (
            "traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',user='ann'",
            "ann",
            "",
        ),
        ("db_user='root'", "", ""),
        ("user=''", "", ""),
        ("users='ann'", "", ""),
    ] {
        for before in ["SELECT 'it''s' FROM t ", "", "SELECT 1 /*user='other'*/ "] {
            for end in ["", ";", " ", "\n"] {
                let text = format!("{before}/*{comment}*/{end}");
                assert_eq!(values(&text), some(user, application), "{text}");
            }
        }
    }
}

#[test]
fn what_is_no_such_comment_has_none() {
    let long = format!("SELECT 1 /*user='{}'*/", "x".repeat(65));
    for text in [
        "SELECT 1 /*user='ann'*/ FROM t",
        "SELECT 1 /*user='ann' */",
        "SELECT 'user='ann'",
        "SELECT 'x*/user='ann'*/",
        "ser='ann'*/",
        "user='ann'*/",
        "*user='ann'*/",
        "'*/",
        "",
        &long,
    ] {
        assert_eq!(values(text), [None, None], "{text}");
    }
    let longest = "x".repeat(64);
    let text = format!("SELECT 1 /*user='{longest}'*/");
    assert_eq!(values(&text), some(&longest, ""));
}

#[test]
fn who_asks_is_part_of_the_fingerprint_and_nothing_else_of_the_comment() {
    let of = |comment: &str| both(&format!("SELECT a FROM t WHERE b = 1{comment}")).0;
    assert_eq!(of(" "), of(" /*route='x'*/"));
    assert_ne!(of(" "), of(" /*user='ann'*/"));
    assert_eq!(of(" /*user='ann'*/"), of(" /*route='x',user='ann'*/"));
    assert_ne!(of(" /*user='ann'*/"), of(" /*user='bob'*/"));
    // One's name in the other's place is another.
    assert_ne!(of(" /*user='ann'*/"), of(" /*application='ann'*/"));
    assert_ne!(
        of(" /*application='a',user='b'*/"),
        of(" /*application='b',user='a'*/")
    );
    for length in 1..=64usize {
        let (long, short) = ("x".repeat(length), "x".repeat(length - 1));
        assert_ne!(
            of(&format!("/*user='{long}'*/")),
            of(&format!("/*user='{short}'*/"))
        );
    }
    // The bits that keepers of fingerprints use stay free.
    for comment in ["", "/*user='ann'*/", "/*user='bob'*/"] {
        assert_eq!(of(comment) & 7, 1);
    }
}

/// Nobody is taken for another: equal fingerprints have equal values, whatever is written.
#[test]
fn texts_with_other_values_have_other_fingerprints() {
    let mut draw = draws();
    let parts = [
        "user='",
        "application='",
        "'",
        ",",
        "*/",
        "/*",
        "ann",
        "bob",
        "\\'",
        " ",
        "%27",
        "x='",
        "'*/",
    ];
    let mut seen = std::collections::HashMap::new();
    let mut found = 0;
    for _ in 0..30_000 {
        let mut text = String::from("SELECT 1 /*");
        for _ in 0..draw(9) {
            text.push_str(parts[draw(parts.len())]);
        }
        text.push_str("'*/");
        let (fingerprint, values) = both(&text);
        found += u32::from(values[0].is_some());
        let (known, other) = seen
            .entry(fingerprint)
            .or_insert_with(|| (values.clone(), text.clone()));
        assert_eq!(*known, values, "{text}\n{other}");
    }
    assert!(found > 200, "{found}");
}
