//! After `SET ROLE` and its kin: rows go to the role that the server itself says is in force, and the user stays visible.

use std::collections::BTreeMap;

use harness::raw::{self, Raw};

use crate::scene::{Scene, attribute, rows_by, rows_by_text, who_reads};

/// What one connection says, text by text; `?` reads, each time another number of rows.
const SCRIPTS: &[(&str, &[&str])] = &[
    ("ann", &["?", "SET ROLE boss", "?", "RESET ROLE", "?"]),
    (
        "ann",
        &[
            "SET ROLE 'boss'",
            "?",
            "SET ROLE 'x'",
            "?",
            "SET ROLE NONE",
            "?",
        ],
    ),
    (
        "ann",
        &[
            "SET ROLE \"Two Words\"",
            "?",
            "RESET ALL",
            "?",
            "DISCARD ALL",
            "?",
        ],
    ),
    ("ann", &["BEGIN", "SET LOCAL ROLE boss", "?", "COMMIT", "?"]),
    (
        "ann",
        &["BEGIN", "?", "SET LOCAL role = 'x'", "?", "ROLLBACK", "?"],
    ),
    (
        "ann",
        &[
            "BEGIN",
            "SET ROLE boss",
            "?",
            "ROLLBACK",
            "?",
            "SET ROLE x",
            "BEGIN",
            "?",
            "COMMIT",
            "?",
        ],
    ),
    (
        "ann",
        &[
            "BEGIN",
            "SET ROLE boss",
            "SAVEPOINT s",
            "SET ROLE x",
            "?",
            "ROLLBACK TO s",
            "?",
            "COMMIT",
            "?",
        ],
    ),
    (
        "ann",
        &[
            "BEGIN",
            "SET ROLE boss",
            "COMMIT AND CHAIN",
            "SET LOCAL ROLE x",
            "?",
            "COMMIT",
            "?",
        ],
    ),
    (
        "ann",
        &["SET ROLE nobody_there", "?", "SET LOCAL ROLE boss", "?"],
    ),
    (
        "owner",
        &[
            "SET SESSION AUTHORIZATION ann",
            "?",
            "SET ROLE boss",
            "?",
            "RESET ROLE",
            "?",
            "RESET SESSION AUTHORIZATION",
            "?",
        ],
    ),
    (
        "owner",
        &["SET SESSION AUTHORIZATION 'bob'", "?", "DISCARD ALL", "?"],
    ),
];

/// One message of several statements each; the simple protocol alone has them.
const MESSAGES: &[(&str, &[&str])] = &[
    ("ann", &["SET ROLE boss; ?; RESET ROLE; ?", "?"]),
    ("ann", &["SET ROLE boss; SELECT 1/0", "?"]),
    ("ann", &["SET LOCAL ROLE boss; ?", "?"]),
    ("ann", &["BEGIN; SET LOCAL ROLE boss; ?; COMMIT; ?", "?"]),
    ("ann", &["SET application_name = 'x'; SET ROLE 'x'; ?", "?"]),
];

/// Rows by the name under which the server says it ran: the user's own, or a role.
type Truth = BTreeMap<(String, String), u64>;

/// Reads a number of rows that tells in a failure which of them went wrong.
fn filled(text: &str, next: &mut u64) -> String {
    let mut filled = String::new();
    for part in text.split_inclusive('?') {
        match part.strip_suffix('?') {
            Some(before) => {
                *next += 1;
                filled += before;
                filled += &who_reads(*next);
            }
            None => filled += part,
        }
    }
    filled
}

fn play(scene: &Scene, protocol: &str, user: &str, texts: &[&str], next: &mut u64) -> Truth {
    let endpoint = if protocol == "simple" {
        scene.server.unix()
    } else {
        scene.server.ipv4()
    };
    let mut client = Raw::start(&endpoint, user, "desk");
    let mut rows = BTreeMap::new();
    let texts: Vec<String> = texts.iter().map(|text| filled(text, next)).collect();
    match protocol {
        "simple" => {
            for text in &texts {
                client.send(&raw::query(text));
                rows_by_text(&mut client, 1, &mut rows);
            }
        }
        "extended" => {
            for text in &texts {
                client.send(&[raw::extended(text, &[]), raw::sync()].concat());
                rows_by_text(&mut client, 1, &mut rows);
            }
        }
        // All at once; each with its own Sync.
        _ => {
            let all: Vec<u8> = texts
                .iter()
                .flat_map(|text| [raw::extended(text, &[]), raw::sync()].concat())
                .collect();
            client.send(&all);
            rows_by_text(&mut client, texts.len(), &mut rows);
        }
    }
    client.terminate();
    rows.into_iter()
        .map(|(name, rows)| {
            let role = if name == user { String::new() } else { name };
            ((user.to_owned(), role), rows)
        })
        .collect()
}

#[test]
fn rows_go_to_the_role_in_force() {
    let scene = Scene::new("");
    let mut truth = Truth::new();
    let mut next = 0;
    let simple = SCRIPTS
        .iter()
        .chain(MESSAGES)
        .map(|script| ("simple", script));
    let extended = SCRIPTS.iter().map(|script| ("extended", script));
    let pipelined = SCRIPTS.iter().map(|script| ("pipelined", script));
    for (protocol, (user, texts)) in simple.chain(extended).chain(pipelined) {
        for (who, rows) in play(&scene, protocol, user, texts, &mut next) {
            *truth.entry(who).or_insert(0) += rows;
        }
    }
    assert!(truth.len() >= 8, "roles in play: {truth:?}");
    let output = scene.finish();
    let got: Truth = rows_by(&output, &["user.name", "user.roles"])
        .into_iter()
        .map(|(who, rows)| ((who[0].clone(), who[1].clone()), rows))
        .collect();
    assert_eq!(got, truth, "server | sensor");
}

/// What no text tells makes the role unknown, and never another's. The user who logged in stays.
#[test]
fn roles_that_no_text_tells_are_unknown() {
    let scene = Scene::new("");
    let mut client = Raw::start(&scene.server.unix(), "ann", "desk");
    for text in [
        "SELECT set_config('role', 'boss', false)".to_owned(),
        who_reads(10),
        "RESET ROLE".to_owned(),
        who_reads(200),
        // The literal stands where no fingerprint sees it.
        "/* app */ SET ROLE 'boss'".to_owned(),
        who_reads(30),
        "/* app */ SET ROLE 'x'".to_owned(),
        who_reads(40),
        "SET ROLE x".to_owned(),
        who_reads(500),
    ] {
        let answer = client.query(&text);
        assert!(answer.errors.is_empty(), "{text}: {answer:?}");
        // Not added up with what follows.
        std::thread::sleep(std::time::Duration::from_millis(60));
    }
    client.terminate();
    // A role that the start asks for.
    let mut client = Raw::connect(&scene.server.unix());
    client.send(&raw::startup(&[
        ("user", "ann"),
        ("database", "desk"),
        ("options", "-c role=boss"),
    ]));
    client.answer();
    client.query(&who_reads(1000));
    client.query("RESET ROLE");
    client.query(&who_reads(1500));
    client.terminate();
    let rows = rows_by(&scene.finish(), &["user.name", "user.roles"]);
    let expected = [
        ("", 200),
        ("(unknown)", 10 + 30 + 40),
        ("boss", 1000 + 1500),
        ("x", 500),
    ];
    let expected = expected
        .into_iter()
        .map(|(role, rows)| (vec!["ann".to_owned(), role.to_owned()], rows))
        .collect();
    assert_eq!(rows, expected);
}

/// A person is judged as one, whichever roles are in force; the alert says which it was.
#[test]
fn another_role_is_no_way_around_a_limit() {
    let scene = Scene::new(
        "[[threshold]]\nname = \"ann\"\nmeasure = \"rows\"\nwindow = \"1m\"\nlimit = 1000\nuser = \"ann\"",
    );
    let mut client = Raw::start(&scene.server.unix(), "ann", "desk");
    client.query("SET application_name = 'begun'");
    for role in ["NONE", "boss", "x"] {
        client.query(&format!("SET ROLE {role}"));
        client.query(&who_reads(400));
    }
    client.terminate();
    let alerts = scene.finish().alerts();
    let [alert] = alerts.as_slice() else {
        panic!("expected one alert, got {alerts:#?}");
    };
    assert_eq!(attribute(&alert.attributes, "user.name"), "ann");
    assert!(attribute(&alert.attributes, "user.roles").contains("\"x\""));
    assert_eq!(
        attribute(&alert.attributes, "data_access.application_name"),
        "begun"
    );
}

/// What is configured as part of the identity tells principals apart, what is not does not.
#[test]
fn the_identity_is_configured() {
    let scene = Scene::new("[principals]\nidentity = [\"user\", \"application_name\"]");
    let mut client = Raw::connect(&scene.server.ipv4());
    client.send(&raw::startup(&[
        ("user", "ann"),
        ("database", "desk"),
        ("application_name", "first"),
    ]));
    client.answer();
    client.query(&who_reads(10));
    client.query("SET ROLE boss");
    client.query("SET application_name TO 'second'");
    client.query(&who_reads(200));
    client.query("RESET ALL");
    client.query(&who_reads(1000));
    client.terminate();
    let keys = [
        "user.name",
        "data_access.application_name",
        "user.roles",
        "client.address",
        "process.user.name",
    ];
    let expected = [("first", 1010), ("second", 200)]
        .into_iter()
        .map(|(name, rows)| {
            (
                ["ann", name, "", "any", ""].map(str::to_owned).to_vec(),
                rows,
            )
        })
        .collect();
    assert_eq!(rows_by(&scene.finish(), &keys), expected);
}
