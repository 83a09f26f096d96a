//! Who knows how requests and answers are told apart, and sets them apart: what was read counts all the same.

use harness::{
    Sensor, Turn,
    clients::Endpoint,
    redis::Kind,
    resp::{Reply, Resp, encoded},
};

use crate::{CONFIGURATION, finish, is_followed, key, server, tally};

/// What a client sends first. After it the server answers, and the connection may be out of step.
type Trick = fn() -> Vec<u8>;

const TRICKS: [(&str, Trick); 9] = [
    ("refused", || {
        [command("CLIENT REPLY SKIP MORE"), command("PING")].concat()
    }),
    ("skip", || {
        [command("CLIENT REPLY SKIP"), command("PING")].concat()
    }),
    ("multi_off", || multi("CLIENT REPLY OFF", "CLIENT REPLY ON")),
    ("multi_skip", || multi("CLIENT REPLY SKIP", "PING")),
    ("multi_subscribe", || {
        multi("SUBSCRIBE c d", "UNSUBSCRIBE c d")
    }),
    ("off_subscribe", || {
        let words = ["CLIENT REPLY OFF", "SUBSCRIBE c", "UNSUBSCRIBE c"];
        [words.map(command).concat(), command("CLIENT REPLY ON")].concat()
    }),
    ("quoted", || {
        let line = b"\"client\" reply off\r\nPING\r\nINFO\r\n".to_vec();
        [line, command("CLIENT REPLY ON")].concat()
    }),
    ("quoted_argument", || {
        let line = b"client 'reply' off\r\nPING\r\nINFO\r\n".to_vec();
        [line, command("CLIENT REPLY ON")].concat()
    }),
    ("blanks", || {
        let line = format!("{}client reply off\r\nPING\r\n", " ".repeat(40));
        [line.into_bytes(), command("CLIENT REPLY ON")].concat()
    }),
];

/// Those that may as well have logged in: from then on it is nobody who reads.
const HIDDEN: [&str; 2] = ["quoted", "blanks"];

/// Rounds of reading in which an answer may be taken for that to something that is no data.
const ROUNDS: usize = 20;
/// Elements that each round reads.
const READ: usize = 10;

fn command(words: &str) -> Vec<u8> {
    encoded(&words.split(' ').collect::<Vec<_>>())
}

fn multi(inside: &str, behind: &str) -> Vec<u8> {
    ["MULTI", inside, "EXEC", behind].map(command).concat()
}

#[test]
fn nobody_reads_unseen() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let servers = Kind::ALL.map(|kind| server(kind, &[]));
    for server in &servers {
        for (name, _) in TRICKS {
            server.user(name);
        }
    }
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    for (name, trick) in TRICKS {
        for endpoint in [servers[0].ipv4(), servers[1].unix()] {
            let read = read_behind(&endpoint, name, trick);
            assert_eq!(read, ROUNDS, "{name}: the trick ends in answers");
        }
    }
    let output = finish(&servers.each_ref(), sensor);
    let series = output.metrics();
    let rows = |user: &str| -> u64 {
        let tally = tally(&series, user);
        tally.values().map(|(_, rows)| rows).sum()
    };
    let read = 2 * (ROUNDS * READ) as u64;
    let mut hidden = 0;
    for (name, _) in TRICKS {
        if HIDDEN.contains(&name) {
            hidden += read;
        } else {
            assert!(rows(name) >= read, "{name}: {} rows", rows(name));
        }
    }
    assert!(rows("") >= hidden, "hidden: {} rows", rows(""));
}

/// Plays a trick, then reads; how many lists came back.
fn read_behind(endpoint: &Endpoint, user: &str, trick: Trick) -> usize {
    let mut client = Resp::login(endpoint, user);
    let queue = key("queue");
    let round = [
        encoded(&["LRANGE", &queue, "0", "9"]),
        command("INFO server"),
    ];
    let all = [
        trick(),
        command("PING"),
        round.concat().repeat(ROUNDS),
        command("ECHO over"),
    ];
    client.write(&all.concat());
    let mut lists = 0;
    loop {
        let reply = client.read().expect("a reply");
        lists += lists_in(&reply);
        if ends(&reply) {
            return lists;
        }
    }
}

/// Lists of as many elements as are read. (An answer may lie in the place of an element that was not sent.)
fn lists_in(reply: &Reply) -> usize {
    match reply {
        Reply::Many(parts) if parts.len() == READ => 1,
        Reply::Many(parts) => parts.iter().map(lists_in).sum(),
        _ => 0,
    }
}

fn ends(reply: &Reply) -> bool {
    match reply {
        Reply::Text(text) => text == b"over",
        Reply::Many(parts) => parts.iter().any(ends),
        _ => false,
    }
}
