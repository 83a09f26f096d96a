use super::*;
use crate::{
    bytes::BASE,
    fingerprint::{Postgres, fingerprint},
    random::draws,
};

const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 42];

struct Taken {
    scratch: Box<Scratch>,
    picks: Vec<Pick>,
}

impl Picker for Taken {
    fn scratch(&mut self) -> &mut Scratch {
        &mut self.scratch
    }
    fn picked(&mut self, pick: Pick) {
        self.picks.push(pick);
    }
}

fn loaded(bytes: &[u8]) -> Taken {
    let mut scratch = Scratch::boxed();
    for (i, byte) in bytes.iter().enumerate() {
        scratch.window.set(BASE + i as u32, *byte);
    }
    for i in 0..16 {
        scratch.window.set(BASE + (bytes.len() + i) as u32, b'7');
    }
    Taken {
        scratch,
        picks: Vec::new(),
    }
}

fn of_text(text: &str, plan: Plan) -> Vec<Pick> {
    let mut taken = loaded(text.as_bytes());
    let end = BASE + text.len() as u32;
    literals(&mut taken, plan.pack(), BASE, end, KEYS);
    taken.picks
}

fn of_bind(parameters_of: &[(u16, &[u8])], plan: Plan) -> Vec<Pick> {
    let mut body = (parameters_of.len() as u16).to_be_bytes().to_vec();
    for (format, _) in parameters_of {
        body.extend(format.to_be_bytes());
    }
    body.extend((parameters_of.len() as u16).to_be_bytes());
    for (_, value) in parameters_of {
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(*value);
    }
    body.extend(0u16.to_be_bytes());
    let mut taken = loaded(&body);
    let end = BASE + body.len() as u32;
    parameters(&mut taken, plan.pack(), BASE, end, KEYS);
    taken.picks
}

fn group(group: u8) -> Plan {
    Plan {
        group,
        ..Plan::EMPTY
    }
}

fn hashes(picks: &[Pick]) -> Vec<u64> {
    assert_eq!(picks[0].flags & KEYS_FIRST, KEYS_FIRST);
    assert!(picks[1..].iter().all(|pick| pick.flags & KEYS_FIRST == 0));
    assert!(picks.iter().all(|pick| pick.flags & KEYS_CUT == 0));
    picks.iter().map(|pick| pick.hash).collect()
}

#[test]
fn a_plan_survives_its_packing() {
    let plan = Plan {
        group: 3,
        bound_group: NONE,
        start: 0x1234,
        param: 7,
        tail: 2,
        bound_param: 9,
        list: true,
    };
    assert_eq!(Plan::unpack(plan.pack()), plan);
    assert_eq!(Plan::unpack(Plan::EMPTY.pack()), Plan::EMPTY);
    assert_ne!(Plan::EMPTY.pack(), 0);
}

#[test]
fn one_value_has_one_hash_however_it_comes() {
    for number in [0i64, 7, 42, 1000, 65_000, 987_654_321] {
        let written = number.to_string();
        let plain = hashes(&of_text(
            &format!("SELECT a FROM t WHERE id = {number}"),
            group(0),
        ));
        let quoted = hashes(&of_text(
            &format!("SELECT a FROM t WHERE id='{number}'"),
            group(0),
        ));
        let param = Plan {
            param: 0,
            ..Plan::EMPTY
        };
        let text = hashes(&of_bind(&[(0, written.as_bytes())], param));
        let int4 = hashes(&of_bind(&[(1, &(number as i32).to_be_bytes())], param));
        let int8 = hashes(&of_bind(&[(1, &number.to_be_bytes())], param));
        for other in [&quoted, &text, &int4, &int8] {
            assert_eq!(&plain, other, "{number}");
        }
        if number > 0 {
            let negative = format!("SELECT a FROM t WHERE id = -{number}");
            assert_ne!(plain, hashes(&of_text(&negative, group(0))), "{number}");
        }
    }
    // Texts are no numbers, and differ from each other.
    let mut all: Vec<u64> = [
        "007",
        "7",
        "7 ",
        "",
        "a",
        "b'c",
        "seven of nine",
        "1234567890123456789012",
    ]
    .iter()
    .map(|value| {
        let text = format!("SELECT a FROM t WHERE id = '{}'", value.replace('\'', "''"));
        let literal = hashes(&of_text(&text, group(0)))[0];
        if !value.is_empty() {
            let bind = of_bind(
                &[(0, value.as_bytes())],
                Plan {
                    param: 0,
                    ..Plan::EMPTY
                },
            );
            assert_eq!(literal, hashes(&bind)[0], "{value}");
        }
        literal
    })
    .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8);
}

#[test]
fn hashes_of_numbers_are_evenly_spread() {
    let mut classes = [0u32; 16];
    for number in 0..16_000u64 {
        classes[(integer(KEYS, number) >> 60) as usize] += 1;
    }
    assert!(
        classes.iter().all(|count| (900..1100).contains(count)),
        "{classes:?}"
    );
}

#[test]
fn lists_give_all_their_values_and_others_none() {
    let text = "SELECT a FROM t WHERE kind = 'x' AND id IN (5, 6,7) AND b = 9";
    let list = hashes(&of_text(text, group(1)));
    assert_eq!(list.len(), 3);
    let single: Vec<u64> = [5, 6, 7]
        .iter()
        .map(|id| {
            hashes(&of_text(
                &format!("SELECT a FROM t WHERE id = {id}"),
                group(0),
            ))[0]
        })
        .collect();
    assert_eq!(list, single);
    let quoted = hashes(&of_text(
        "SELECT a FROM t WHERE id IN ('5','6', '7')",
        group(0),
    ));
    assert_eq!(quoted, single);
    let skipped = Plan {
        start: 22,
        ..group(0)
    };
    assert_eq!(
        hashes(&of_text(
            "SELECT a FROM t WHERE id IN (5,6,7)",
            Plan {
                start: 29,
                ..skipped
            }
        )),
        single
    );
    // One parameter in front, one behind, two to four keys.
    let plan = Plan {
        param: 1,
        tail: 1,
        list: true,
        ..Plan::EMPTY
    };
    let binds = of_bind(
        &[
            (0, b"x"),
            (0, b"5"),
            (1, &6i32.to_be_bytes()),
            (0, b"7"),
            (0, b"9"),
        ],
        plan,
    );
    assert_eq!(hashes(&binds), single);
    assert_eq!(
        hashes(&of_bind(&[(0, b"x"), (0, b"5"), (0, b"9")], plan)),
        single[..1]
    );
}

#[test]
fn what_is_cut_or_written_otherwise_says_so() {
    let param = Plan {
        param: 0,
        ..Plan::EMPTY
    };
    for picks in [
        of_text("SELECT a FROM t WHERE id = 'unterminated", group(0)),
        of_bind(&[(0, b"5"), (0, b"6")], param),
    ] {
        assert_eq!(picks.len(), 1);
        assert_eq!(picks[0].flags, KEYS_FIRST | KEYS_CUT);
    }
    assert_eq!(of_bind(&[], param), []);
    // NULL picks nothing.
    let mut taken = loaded(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    parameters(&mut taken, param.pack(), BASE, BASE + 10, KEYS);
    assert_eq!(taken.picks.len(), 1);
    assert_eq!(taken.picks[0].flags & KEYS_KEY, 0);
}

#[test]
fn a_walk_is_seen_by_its_order_alone() {
    let plan = Plan {
        bound_group: 0,
        ..Plan::EMPTY
    };
    let mut walked = Walked::default();
    let mut runs = Vec::new();
    for id in [100, 200, 300, 400] {
        let text = format!("SELECT a FROM t WHERE id > {id} ORDER BY id LIMIT 100");
        let picks = of_text(&text, plan);
        assert_eq!(picks.len(), 1);
        assert_eq!(
            (picks[0].hash, picks[0].flags),
            (0, KEYS_FIRST | KEYS_BOUND)
        );
        runs.push(walked.next(picks[0].order));
    }
    assert_eq!(runs, [1, 2, 3, 4]);
    assert_eq!(walked.next(7), 1);
    assert_eq!(walked.next(7), 1);
    assert_eq!(walked.next(6), 2);
    // Texts in their own order.
    let order =
        |text: &str| of_text(&format!("SELECT a FROM t WHERE id > '{text}'"), plan)[0].order;
    assert!(order("abc") < order("abd") && order("ab") < order("abc"));
}

/// The number of literals, lists counted once, as the fingerprint sees them.
fn placeholders(text: &str) -> u32 {
    let mut taken = loaded(text.as_bytes());
    fingerprint(
        &mut taken.scratch,
        BASE,
        BASE + text.len() as u32,
        KEYS,
        Postgres,
    );
    taken.scratch.lexer.placeholders()
}

#[test]
fn literals_are_counted_as_the_fingerprint_does() {
    let parts = [
        "a",
        "t1",
        " ",
        ",",
        ", ",
        "(",
        ")",
        "),(",
        "), (",
        "1",
        "23",
        "12345678901",
        "'x'",
        "'it''s'",
        "''",
        "E'a\\'b'",
        "e''",
        "$1",
        "$23",
        "a$1",
        "/* c 1 */",
        "/**/",
        "-- c\n",
        "-",
        "-7",
        "= ",
        "/",
        ".",
        ";",
        ":",
        "::",
        "%",
        "& ",
        " AND id = ",
        "ARRAY[",
        "]",
        "column_12",
        "é5",
        "SELECT name FROM customers WHERE id IN (",
    ];
    let mut draw = draws();
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..draw(12) {
            text += parts[draw(parts.len())];
        }
        let found = groups(text.as_bytes());
        let count = found.last().map_or(0, |literal| literal.group + 1);
        assert_eq!(count, placeholders(&text), "`{text}`: {found:?}");
    }
}
