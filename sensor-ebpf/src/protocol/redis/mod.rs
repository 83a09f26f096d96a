//! RESP, as Redis and Valkey speak it, in both of its versions.
//!
//! Source: "Redis serialization protocol specification", RESP3's specification, and four facts about the server: a request is a
//! list of texts or a line; answers come in the order of the requests, which may come many at once; what nobody asked for one by
//! one says so, or comes where a client has agreed to it; and a list says how many elements it has, but not how long it is. So
//! there is a queue as for PostgreSQL, and elements are counted by walking from header to header.
//!
//! One process serves all connections, with threads that only read and write: nothing here is known by process.

use super::{
    Surroundings, is_parsed,
    outcome::{self, lose_track},
};
use crate::connection::{Connection, Request};

mod again;
mod answer;
mod arguments;
mod begin;
pub mod command;
mod element;
mod follow;
mod head;
mod names;
mod number;
pub mod pattern;
mod request;
mod run;
mod startup;
#[cfg(test)]
mod tests;

pub use again::Before;
pub use head::{Head, head};
pub use names::{APPLICATION, DOUBT, PASSWORD, USER};
pub use pattern::Parts;
pub use run::Run;

/// The server received `length` bytes. A call of its own, so that other protocols' stacks need not hold it.
#[inline(never)]
pub fn received<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    if c.requests_lost != 0 {
        c.requests_lost = 0;
        lose_track(s, c);
    }
    c.seen_received += u64::from(length);
    c.received += u64::from(length);
    if is_parsed(c) || startup::received(s, c, length) {
        request::received(s, c, length);
    }
}

/// The server sent `length` bytes.
#[inline(never)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    c.seen_sent += u64::from(length);
    if is_parsed(c) {
        answer::sent(s, c, length);
    } else {
        startup::sent(s, c, length);
    }
}

/// The connection ended.
#[inline(always)]
pub fn closed<S: Surroundings>(s: &mut S, c: &mut Connection) {
    outcome::close(s, c);
}

/// Does a request change the connection, if it succeeds?
#[inline(always)]
pub fn changes(request: &Request) -> bool {
    request.link != 0 || request.limit > command::Kind::Quiet as u32
}

/// May what begins with these eight bytes be a request? Of those that are lines nobody can tell.
#[inline(always)]
pub fn is_request(word: u64) -> bool {
    let count = (word >> 8) as u8;
    word as u8 == b'*' && count.is_ascii_digit() && count != b'0'
}

/// Do nodes of a cluster talk here, by a protocol of their own?
#[inline(always)]
pub fn is_bus(word: u64) -> bool {
    word as u32 == u32::from_le_bytes(*b"RCmb")
}
