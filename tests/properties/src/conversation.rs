//! What the kernel makes of conversations, and userspace of what the kernel hands on.

use sensor_ebpf::{
    connection::Protocol,
    protocol::simulation::{Emitted, Script},
    tags,
};
use sensor_user::sql::Language;

use crate::{sql, startup};

/// Tags that are looked for.
const TAGS: [&str; 2] = ["application", "user"];

/// Texts of one conversation that are analysed: a parser of whole SQL takes longer than all else.
const TEXTS: usize = 2;

/// PostgreSQL's protocol.
pub fn postgres(input: &[u8]) {
    check(Protocol::Postgres, input);
}

/// MySQL's.
pub fn mysql(input: &[u8]) {
    check(Protocol::MySql, input);
}

/// Redis'.
pub fn redis(input: &[u8]) {
    check(Protocol::Redis, input);
}

fn check(protocol: Protocol, input: &[u8]) {
    let emitted = play(protocol, input, 0);
    // A quote, so that literals seem to begin or end beyond what was received.
    let garbage = if input.len().is_multiple_of(2) {
        b'\''
    } else {
        0xff
    };
    assert_eq!(
        play(protocol, input, garbage),
        emitted,
        "what other operations left in the working memory makes a difference"
    );
    handed_on(protocol, &emitted);
}

/// What leaves of a conversation, by whatever the working memory holds before.
fn play(protocol: Protocol, input: &[u8], garbage: u8) -> Emitted {
    let played = Script::read(input).play(protocol, garbage, tags::names(TAGS));
    let emitted = played.emitted();
    assert_eq!(
        played.accounted(),
        played.given(),
        "bytes sent and received: in records, and of the conversation"
    );
    assert!(
        rows(&emitted) >= 0,
        "fewer rows than none: {}",
        rows(&emitted)
    );
    assert_eq!(emitted.closed, 1);
    emitted
}

/// Rows returned, in all.
fn rows(emitted: &Emitted) -> i128 {
    let completed = emitted
        .statements
        .iter()
        .map(|(outcome, ..)| i128::from(outcome.rows_returned));
    let progress = emitted
        .progress
        .iter()
        .map(|(exact, ..)| i128::from(*exact));
    completed.chain(progress).sum()
}

/// What userspace makes of it.
fn handed_on(protocol: Protocol, emitted: &Emitted) {
    let language = match protocol {
        Protocol::MySql => Language::MySql { plain: false },
        Protocol::Redis => Language::Redis,
        Protocol::Postgres | Protocol::Pooled => Language::Postgres,
    };
    let mut texts: Vec<_> = emitted.texts.iter().collect();
    texts.sort();
    for (_, text) in texts.into_iter().take(TEXTS) {
        sql::analyse(language, text, false);
    }
    for record in &emitted.startups {
        startup::read_all(record);
    }
}
