//! Replies of every kind, by a client that reads the protocol itself: pieces, pipelines, large ones, transactions, scripts, both
//! versions of the protocol; and those of [`unasked`].

use std::time::Duration;

use harness::{
    Differences, Redis, Sensor, Turn,
    clients::Endpoint,
    fewer,
    redis::{CANARY, Kind},
    resp::{Reply, Resp, Tally},
    slowness,
};

use crate::{
    CONFIGURATION, by_command, email, finish, is_followed, key, nothing_unseen, server, tallies,
    tally, unasked,
};

/// A name, and what is done under it.
type Scene = (&'static str, fn(&Redis, &Endpoint, &str) -> Tally);

const SCENES: [Scene; 11] = [
    ("inline", inline),
    ("pieces", pieces),
    ("deep", deep),
    ("large", large),
    ("transaction", transaction),
    ("script", script),
    ("kinds", kinds),
    ("messages", unasked::messages),
    ("lookalike", unasked::lookalike),
    ("unasked", unasked::unasked),
    ("unanswered", unasked::unanswered),
];

#[test]
fn replies_of_every_kind_are_counted_to_the_row() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let servers = Kind::ALL.map(|kind| server(kind, &[]));
    for server in &servers {
        for (name, _) in SCENES {
            server.user(name);
            server.user(&format!("{name}_other"));
        }
    }
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let mut expected = Vec::new();
    for (name, play) in SCENES {
        // Each by one kind of socket on each server; no user's name is taken twice.
        let mut sum = Tally::new();
        for (server, endpoint) in servers.iter().zip([servers[0].ipv4(), servers[1].unix()]) {
            for (command, (queries, rows)) in play(server, &endpoint, name) {
                let entry = sum.entry(command).or_default();
                *entry = (entry.0 + queries, entry.1 + rows);
            }
        }
        expected.push((name, sum));
    }
    let output = finish(&servers.each_ref(), sensor);
    let series = output.metrics();
    let mut differences = Differences::default();
    for (name, mut expected) in expected {
        let mut got = by_command(&tally(&series, name));
        // Who logs in is nobody yet.
        for tally in [&mut expected, &mut got] {
            tally.remove("AUTH");
            tally.remove("HELLO");
        }
        tallies(&mut differences, name, &expected, &got);
    }
    nothing_unseen(&mut differences, &series, &[]);
    differences.none();
}

/// Commands as people type them.
fn inline(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let second = email(2);
    for (command, text) in [
        ("GET", format!("get {}\r\n", email(1))),
        ("GET", format!("  GET   \"{second}\"  \r\n")),
        ("GET", format!("GET '{second}'\n")),
        (
            "SET",
            format!("SET work:{CANARY}i \"{CANARY} some words\"\r\n"),
        ),
        ("GET", format!("\r\n\r\nGeT work:{CANARY}i\r\n")),
        ("LRANGE", format!("LRANGE {} 0 9\r\n", key("queue"))),
        ("PING", "PING\r\n".to_owned()),
    ] {
        client.ask(command);
        client.write(text.as_bytes());
        client.reply();
    }
    // Both kinds by one write.
    client.ask("GET");
    client.ask("GET");
    let both = format!(
        "GET {second}\r\n*2\r\n$3\r\nGET\r\n${}\r\n{second}\r\n",
        second.len()
    );
    client.write(both.as_bytes());
    for _ in 0..2 {
        assert!(matches!(client.reply(), Reply::Text(_)));
    }
    client.tally
}

/// Byte by byte, and cut where it hurts.
fn pieces(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let commands = [
        vec!["MGET".to_owned(), email(1), email(999), email(2)],
        vec!["HGETALL".to_owned(), key("profile")],
        vec![
            "SET".to_owned(),
            format!("work:{CANARY}p"),
            format!("*3\r\n${CANARY}\r\n"),
        ],
        vec!["GET".to_owned(), format!("work:{CANARY}p")],
    ];
    let commands: Vec<Vec<&str>> = commands
        .iter()
        .map(|command| command.iter().map(String::as_str).collect())
        .collect();
    for command in &commands {
        client.ask(command[0]);
        for byte in harness::resp::encoded(command) {
            client.write(&[byte]);
        }
        client.reply();
    }
    // All of them, and each way to cut them in two.
    let all: Vec<u8> = commands
        .iter()
        .flat_map(|command| harness::resp::encoded(command))
        .collect();
    for cut in (1..all.len()).step_by(7 * slowness() as usize) {
        for command in &commands {
            client.ask(command[0]);
        }
        client.write(&all[..cut]);
        std::thread::sleep(Duration::from_micros(300));
        client.write(&all[cut..]);
        for _ in &commands {
            client.reply();
        }
    }
    client.tally
}

/// Pipelines of a thousand commands of many kinds, whose replies are read when all are sent.
fn deep(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let (present, absent, list, wrong) = (email(1), email(999), key("queue"), key("profile"));
    let mixed: [&[&str]; 6] = [
        &["GET", &present],
        &["GET", &absent],
        &["LRANGE", &list, "0", "4"],
        &["EXISTS", &present],
        &["GET", &wrong],
        &["HGETALL", &wrong],
    ];
    for _ in 0..fewer(5) {
        let commands: Vec<&[&str]> = (0..1000).map(|i| mixed[i % mixed.len()]).collect();
        client.send(&commands);
        for _ in 0..1000 {
            client.reply();
        }
        let commands: Vec<&[&str]> = (0..1000).map(|_| mixed[0]).collect();
        client.send(&commands);
        for _ in 0..1000 {
            client.reply();
        }
    }
    // The server counts these while it writes them: each lies in a piece of memory of its own, and hundreds leave by one send.
    let tags = key("tags");
    client.send(&[&["KEYS", tags.as_str()][..]; 500]);
    for _ in 0..500 {
        client.reply();
    }
    client.tally
}

/// A value of 20 MB and lists of 200,000 elements, by both versions, with others behind; smaller ones where things are slow.
fn large(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let value = CANARY.repeat(fewer(5_000_000));
    let (long, big) = (format!("work:{CANARY}long"), format!("work:{CANARY}big"));
    assert_eq!(
        client.command(&["SET", &big, &value]),
        Reply::Status("OK".to_owned())
    );
    let elements: Vec<String> = (0..1000).map(|i| format!("{CANARY} {i}")).collect();
    let mut push = vec!["RPUSH", long.as_str()];
    push.extend(elements.iter().map(String::as_str));
    let pushes = fewer(200);
    for _ in 0..pushes {
        client.command(&push);
    }
    for version in ["2", "3"] {
        client.command(&["HELLO", version]);
        let present = email(1);
        client.send(&[
            &["LRANGE", &long, "0", "-1"],
            &["GET", &present],
            &["GET", &big],
            &["LRANGE", &long, "0", "-1"],
            &["MGET", &big, "nothing:1", &present],
        ]);
        let rows: u64 = (0..5).map(|_| client.reply().rows("")).sum();
        let listed = 2 * pushes * elements.len();
        assert_eq!(rows, listed as u64 + 4);
    }
    client.tally
}

/// What is queued is a query, and what it returns comes with EXEC.
fn transaction(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let mut other = Resp::login(endpoint, &format!("{user}_other"));
    let (present, absent, list) = (email(1), email(999), key("queue"));
    let work = format!("work:{CANARY}t");
    for version in ["2", "3"] {
        client.command(&["HELLO", version]);
        client.send(&[
            &["MULTI"],
            &["SET", &work, CANARY],
            &["GET", &present],
            &["GET", &absent],
            &["HGETALL", &key("profile")],
            &["LRANGE", &list, "0", "6"],
            &["INCR", &work],
            &["MGET", &present, &absent],
            &["EXEC"],
        ]);
        for _ in 0..8 {
            client.reply();
        }
        assert_eq!(client.reply().rows("EXEC"), 1 + 20 + 7 + 1);
        for command in [&["MULTI"][..], &["GET", &present], &["DISCARD"]] {
            client.command(command);
        }
        // One that makes no sense: the whole is refused.
        for command in [&["MULTI"][..], &["GET"], &["GET", &present]] {
            client.command(command);
        }
        assert!(matches!(client.command(&["EXEC"]), Reply::Error(_)));
        // Somebody was faster: nothing is done.
        client.command(&["WATCH", &work]);
        other.command(&["SET", &work, version]);
        client.send(&[&["MULTI"], &["GET", &work], &["EXEC"]]);
        client.reply();
        client.reply();
        assert_eq!(client.reply(), Reply::Null);
    }
    client.tally
}

fn script(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let list = key("queue");
    let nested =
        "return {1, ARGV[1], false, {KEYS[1], {2, 'x'}}, redis.call('LRANGE', KEYS[1], 0, 2)}";
    assert_eq!(
        client
            .command(&["EVAL", nested, "1", &list, CANARY])
            .rows(""),
        1 + 1 + 1 + 2 + 3
    );
    client.command(&["EVAL", "return 'text'", "0"]);
    client.command(&["EVAL", "return {}", "0"]);
    client.command(&["EVAL", "return {ok='fine'}", "0"]);
    client.command(&["EVAL", "return {ok='OK'}", "0"]);
    client.command(&["EVAL", "return {{err='a'}, {err='b'}, {ok='c'}}", "0"]);
    client.command(&["EVAL", "return redis.call('GET', KEYS[1])", "1", &list]);
    let sha = client.command(&["SCRIPT", "LOAD", nested]).text();
    client.command(&["EVALSHA", &sha, "1", &list, CANARY]);
    client.tally
}

/// Types that only the third version has, nested ones, and empty ones.
fn kinds(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let stream = format!("events:{CANARY}{}", endpoint.port);
    let places = format!("places:{CANARY}{}", endpoint.port);
    for i in 0..30 {
        client.command(&["XADD", &stream, "*", "who", CANARY, "n", &i.to_string()]);
        let at = format!("{}", f64::from(i) / 10.0);
        client.command(&["GEOADD", &places, &at, &at, &format!("{CANARY}{i}")]);
    }
    for version in ["2", "3"] {
        client.command(&["HELLO", version]);
        for kind in [
            "string", "integer", "double", "null", "array", "set", "map", "verbatim", "true",
            "false", "bignum",
        ] {
            client.command(&["DEBUG", "PROTOCOL", kind]);
        }
        // 30 of a name, and two pairs.
        assert_eq!(client.command(&["XRANGE", &stream, "-", "+"]).rows(""), 150);
        client.command(&["XREAD", "COUNT", "5", "STREAMS", &stream, "0"]);
        client.command(&["XREAD", "COUNT", "5", "STREAMS", &stream, "$"]);
        client.command(&["XINFO", "STREAM", &stream]);
        client.command(&[
            "GEOSEARCH",
            &places,
            "FROMLONLAT",
            "1",
            "1",
            "BYRADIUS",
            "900",
            "km",
            "WITHCOORD",
            "WITHDIST",
        ]);
        client.command(&[
            "GEOPOS",
            &places,
            &format!("{CANARY}1"),
            "nobody",
            &format!("{CANARY}2"),
        ]);
        client.command(&[
            "SMISMEMBER",
            &key("tags"),
            &format!("{CANARY} tag 1"),
            "none",
        ]);
        client.command(&["ZSCORE", &key("board"), &format!("{CANARY} member 1")]);
        client.command(&["ZRANGE", &key("board"), "0", "-1", "WITHSCORES"]);
        client.command(&["ZRANGE", "board:none", "0", "-1", "WITHSCORES"]);
        client.command(&["HRANDFIELD", &key("profile"), "3", "WITHVALUES"]);
        client.command(&["LPOS", &key("queue"), "nothing"]);
        client.command(&["SRANDMEMBER", &key("tags"), "7"]);
        client.command(&["SMEMBERS", "tags:none"]);
        client.command(&["OBJECT", "ENCODING", &key("tags")]);
        client.command(&["CONFIG", "GET", "max*"]);
        client.command(&["DUMP", &key("board")]);
        client.command(&["INFO"]);
        client.command(&["COMMAND"]);
    }
    client.tally
}
