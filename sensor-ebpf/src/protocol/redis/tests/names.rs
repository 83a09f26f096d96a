//! Who logs in, and what never leaves.

use super::wire::{ask, many, text};
use crate::{
    protocol::{
        redis::{APPLICATION, DOUBT, PASSWORD, USER},
        simulation::Simulation,
    },
    random::draws,
    record::{STATEMENT_FAILED, STATEMENT_SUSPENDED},
};

const SECRET: &str = "hunter2-canary";

/// Numbers, kinds and names of the records, and number and flags of the ends that have a number.
type Told = (Vec<(u8, u8, String)>, Vec<(u8, u8)>);

fn told(simulation: &Simulation) -> Told {
    let emitted = simulation.emitted();
    let names = emitted.startups.iter().map(|record| {
        let name = String::from_utf8_lossy(&record[2..]).into_owned();
        (record[0], record[1], name)
    });
    let ends = emitted.statements.iter().filter(|(o, _, _)| o.link != 0);
    (
        names.collect(),
        ends.map(|(o, _, _)| (o.link, o.flags)).collect(),
    )
}

fn converse(requests: &[Vec<u8>], answers: &[&[u8]]) -> Simulation {
    let mut simulation = Simulation::redis();
    for (request, answer) in requests.iter().zip(answers) {
        simulation.received(request);
        simulation.sent(answer);
    }
    let all: String = format!(
        "{:?}{:?}",
        simulation.emitted().texts,
        simulation.emitted().startups
    );
    let shown: Vec<u8> = simulation.emitted().startups.concat();
    assert!(!all.contains(SECRET) && !String::from_utf8_lossy(&shown).contains(SECRET));
    for text in simulation.emitted().texts.values() {
        assert!(!String::from_utf8_lossy(text).contains(SECRET));
    }
    simulation
}

#[test]
fn logins_are_told_with_their_ends() {
    let simulation = converse(
        &[
            ask(&["AUTH", "ann", SECRET]),
            ask(&["auth", SECRET]),
            ask(&["HELLO", "3", "AUTH", "bob", SECRET, "SETNAME", "shop"]),
            ask(&["HELLO", "3"]),
            ask(&["CLIENT", "SETNAME", "batch"]),
            ask(&["HELLO", "3", "SETNAME", "AUTH", "AUTH", "carl", "SETNAME"]),
        ],
        &[
            b"+OK\r\n",
            b"-WRONGPASS invalid username-password pair\r\n",
            &many('%', 14),
            &many('*', 14),
            b"+OK\r\n",
            b"-NOPROTO\r\n",
        ],
    );
    let (names, ends) = told(&simulation);
    assert_eq!(
        names,
        [
            (1, USER, "ann".to_owned()),
            (2, PASSWORD, String::new()),
            (3, APPLICATION, "shop".to_owned()),
            (3, USER, "bob".to_owned()),
            (4, APPLICATION, "batch".to_owned()),
            (5, APPLICATION, "AUTH".to_owned()),
            (5, USER, "carl".to_owned()),
        ]
    );
    assert_eq!(
        ends,
        [
            (1, 0),
            (2, STATEMENT_FAILED),
            (3, 0),
            (4, 0),
            // It may have been taken before the rest was refused.
            (5, STATEMENT_FAILED | STATEMENT_SUSPENDED)
        ]
    );
    assert!(
        text(&simulation).iter().all(|(_, sums)| sums[1] == 0),
        "no rows"
    );
}

#[test]
fn lines_log_in_too() {
    let requests = [
        format!("AUTH ann {SECRET}\r\n"),
        format!("AUTH {SECRET}\r\n"),
        format!("AUTH \"ann\" {SECRET}\r\n"),
        format!("auth 'ann {SECRET}'\r\n"),
        "hello 3 setname x\n".to_owned(),
    ]
    .map(String::into_bytes);
    let simulation = converse(&requests, &[&b"+OK\r\n"[..]; 5]);
    let kinds: Vec<(u8, String)> = told(&simulation)
        .0
        .into_iter()
        .map(|(_, kind, name)| (kind, name))
        .collect();
    assert_eq!(
        kinds,
        [
            (USER, "ann".to_owned()),
            (PASSWORD, String::new()),
            (DOUBT, String::new()),
            (DOUBT, String::new()),
            (APPLICATION, "x".to_owned()),
        ]
    );
}

#[test]
fn a_login_that_waits_is_no_success() {
    let simulation = converse(
        &[ask(&["MULTI"]), ask(&["AUTH", "ann", SECRET])],
        &[b"+OK\r\n", b"+QUEUED\r\n"],
    );
    assert_eq!(told(&simulation).1, [(1, STATEMENT_SUSPENDED)]);
}

#[test]
fn a_login_without_an_answer_leaves_a_doubt() {
    let simulation = converse(
        &[
            ask(&["CLIENT", "REPLY", "OFF"]),
            ask(&["AUTH", "ann", SECRET]),
        ],
        &[b"", b""],
    );
    assert!(told(&simulation).0.contains(&(0, DOUBT, String::new())));
    assert_eq!(told(&simulation).1, []);
}

#[test]
fn names_that_are_cut_are_told_all_the_same() {
    let request = ask(&["HELLO", "3", "AUTH", "bob", SECRET, "SETNAME", "shop"]);
    for cut in 1..request.len() {
        let mut simulation = Simulation::redis();
        simulation.received(&request[..cut]);
        simulation.received(&request[cut..]);
        simulation.sent(&many('%', 14));
        let (names, ends) = told(&simulation);
        assert_eq!(
            names,
            [
                (1, APPLICATION, "shop".to_owned()),
                (1, USER, "bob".to_owned())
            ]
        );
        assert_eq!(ends, [(1, 0)]);
    }
}

#[test]
fn what_is_too_long_is_a_doubt() {
    let long = "x".repeat(10_000);
    for request in [
        ask(&["HELLO", "3", "AUTH", "bob", &long]),
        ask(&["AUTH", &long, "x"]),
        ask(&["AUTH", &long[..300], "x"]),
    ] {
        let mut simulation = Simulation::redis();
        simulation.received(&request);
        simulation.sent(b"+OK\r\n");
        assert_eq!(told(&simulation).0, [(1, DOUBT, String::new())]);
    }
    // Of the right length, only the password goes on.
    let mut simulation = Simulation::redis();
    simulation.received(&ask(&["AUTH", "bob", &long]));
    simulation.sent(b"+OK\r\n");
    assert_eq!(told(&simulation).0, [(1, USER, "bob".to_owned())]);
}

/// Of nothing but the first key leaves more than the command.
#[test]
fn values_never_leave() {
    let mut draw = draws();
    for _ in 0..500 {
        let words: Vec<String> = (0..draw(8) + 2)
            .map(|i| {
                if i < 2 {
                    "a".repeat(draw(20))
                } else {
                    format!("{SECRET}{}", draw(9))
                }
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for command in [
            "SET", "HSET", "MSET", "ACL", "CONFIG", "XADD", "AUTH", "PING", "ECHO",
        ] {
            let mut request = words.clone();
            request[0] = command;
            let request = ask(&request);
            let cut = draw(request.len());
            let requests = [request[..cut].to_vec(), request[cut..].to_vec()];
            let simulation = converse(&requests, &[b"", b"+OK\r\n"]);
            assert!(simulation.connection.front.count <= 1);
        }
    }
}

/// Where nobody can tell who logs in, it is said.
#[test]
fn doubts() {
    let many: Vec<&str> = ["HELLO", "3"]
        .into_iter()
        .chain(["SETNAME", "a"].into_iter().cycle().take(12))
        .chain(["AUTH", "bob", "x"])
        .collect();
    for request in [
        ask(&many),
        ask(&["HELLO", "3", "AUTH", "bob", "x", "AUTH", "carl", "x"]),
        b"\"AUTH\" bob x\r\n".to_vec(),
        b"A\"UTH\" bob x\r\n".to_vec(),
        b"\"\\x41UTH\" bob x\r\n".to_vec(),
        b"AUTH bob \"x\"\r\n".to_vec(),
    ] {
        let simulation = converse(std::slice::from_ref(&request), &[b"+OK\r\n"]);
        let (names, ends) = told(&simulation);
        let what: Vec<u8> = names
            .iter()
            .map(|(_, what, _)| *what)
            .filter(|what| *what != APPLICATION)
            .collect();
        assert_eq!(what, [DOUBT], "{}", request.escape_ascii());
        assert_eq!(ends.len(), 1);
    }
    // Blanks are what the server takes for them.
    for request in [&b"AUTH\rann\rx\r\n"[..], b"\x0bAUTH \x0cann   x\r\n"] {
        let simulation = converse(&[request.to_vec()], &[b"+OK\r\n"]);
        assert_eq!(told(&simulation).0, [(1, USER, "ann".to_owned())]);
    }
    // Neither is a login.
    let simulation = converse(&[b"CLIENT SETNAME \"my app\"\r\n".to_vec()], &[b"+OK\r\n"]);
    assert_eq!(told(&simulation).0, []);
    // It may have taken the name before something else was wrong.
    let hello = ask(&["HELLO", "3", "AUTH", "bob", "x"]);
    for (answer, flags) in [
        (&b"-WRONGPASS invalid\r\n"[..], STATEMENT_FAILED),
        (
            b"-ERR Syntax error\r\n",
            STATEMENT_FAILED | STATEMENT_SUSPENDED,
        ),
    ] {
        let simulation = converse(std::slice::from_ref(&hello), &[answer]);
        assert_eq!(told(&simulation).1, [(1, flags)]);
    }
}

/// Once the stream made no sense, what looks like a login may be a value that the client made up.
#[test]
fn no_login_is_believed_once_the_stream_was_lost() {
    let mut simulation = Simulation::redis();
    simulation.received(b"*1\r\n:1\r\n");
    simulation.sent(b"-ERR\r\n");
    simulation.received(&ask(&["AUTH", "bob", "x"]));
    simulation.sent(b"+OK\r\n");
    let (names, _) = told(&simulation);
    assert_eq!(names, [(1, DOUBT, String::new())]);
}
