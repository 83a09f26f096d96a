//! What nobody asked for by itself, and what gets no reply.

use std::time::Duration;

use harness::{
    Redis,
    clients::Endpoint,
    pause,
    redis::CANARY,
    resp::{Reply, Resp, Tally},
};

use crate::{email, key};

/// Messages, which nobody asks for one by one.
pub fn messages(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut sum = Tally::new();
    let mut sender = Resp::login(endpoint, &format!("{user}_other"));
    for version in ["2", "3"] {
        let mut client = Resp::login(endpoint, user);
        client.command(&["HELLO", version]);
        client.ask_in_vain(&["SUBSCRIBE", "news:1", "news:2"]);
        for _ in 0..2 {
            client.read().expect("it is confirmed");
        }
        for i in 0..300 {
            sender.command(&["PUBLISH", "news:1", &format!("{CANARY} {i}")]);
            client.message("SUBSCRIBE");
        }
        // Many at once.
        let text = CANARY.repeat(100);
        for _ in 0..300 {
            sender.send(&[&["PUBLISH", "news:2", &text]]);
        }
        for _ in 0..300 {
            sender.reply();
            client.message("SUBSCRIBE");
        }
        client.ask_in_vain(&["UNSUBSCRIBE"]);
        for _ in 0..2 {
            client.read().expect("it is confirmed");
        }
        client.command(&["GET", &email(1)]);
        for (command, (queries, rows)) in client.tally {
            let entry = sum.entry(command).or_default();
            *entry = (entry.0 + queries, entry.1 + rows);
        }
    }
    let mut watcher = Resp::login(endpoint, user);
    watcher.command(&["MONITOR"]);
    for i in 0..50 {
        sender.command(&["GET", &email(i)]);
        watcher.message("MONITOR");
    }
    for (command, (queries, rows)) in watcher.tally {
        let entry = sum.entry(command).or_default();
        *entry = (entry.0 + queries, entry.1 + rows);
    }
    sum
}

/// Data that looks like a message, to somebody who has once subscribed to some.
pub fn lookalike(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let work = format!("work:{CANARY}{}", endpoint.port);
    for version in ["2", "3"] {
        client.command(&["HELLO", version]);
        client.ask_in_vain(&["SUBSCRIBE", "news:1"]);
        client.read().expect("it is confirmed");
        client.ask_in_vain(&["UNSUBSCRIBE", "news:1"]);
        client.read().expect("it is confirmed");
        client.command(&["DEL", &work]);
        client.command(&["RPUSH", &work, "message", "news:1", CANARY, "more"]);
        for _ in 0..10 {
            client.command(&["LRANGE", &work, "0", "-1"]);
            client.command(&["GET", &email(1)]);
        }
    }
    client.tally
}

/// Between replies, what the server says by itself: that a key has changed. And replies that come late.
pub fn unasked(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let mut other = Resp::login(endpoint, &format!("{user}_other"));
    client.command(&["HELLO", "3"]);
    client.command(&["CLIENT", "TRACKING", "ON"]);
    let work = format!("work:{CANARY}u");
    for i in 0..20 {
        client.command(&["GET", &work]);
        other.command(&["SET", &work, &i.to_string()]);
        client.read().expect("the key has changed");
        client.send(&[&["LRANGE", &key("queue"), "0", "9"], &["GET", &work]]);
        client.reply();
        client.reply();
        other.command(&["SET", &work, "again"]);
        client.read().expect("the key has changed");
    }
    client.command(&["CLIENT", "TRACKING", "OFF"]);
    // Blocks, with commands behind it that wait.
    let jobs = format!("jobs:{CANARY}u");
    for _ in 0..5 {
        client.send(&[
            &["BLPOP", &jobs, "20"],
            &["GET", &email(1)],
            &["BLPOP", &jobs, "0.01"],
        ]);
        pause(Duration::from_millis(20));
        other.command(&["RPUSH", &jobs, CANARY]);
        assert_eq!(client.reply().rows(""), 2);
        client.reply();
        assert_eq!(client.reply(), Reply::Null);
    }
    client.tally
}

/// A client that wants no replies.
pub fn unanswered(_: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut client = Resp::login(endpoint, user);
    let (present, list) = (email(1), key("queue"));
    for _ in 0..10 {
        client.ask_in_vain(&["CLIENT", "REPLY", "SKIP"]);
        client.ask_in_vain(&["LRANGE", &list, "0", "-1"]);
        client.command(&["GET", &present]);
        client.ask_in_vain(&["CLIENT", "REPLY", "OFF"]);
        for _ in 0..5 {
            client.ask_in_vain(&["LRANGE", &list, "0", "-1"]);
        }
        client.command(&["CLIENT", "REPLY", "ON"]);
        client.command(&["LRANGE", &list, "0", "2"]);
        client.command(&["GET", &present]);
    }
    client.tally
}
