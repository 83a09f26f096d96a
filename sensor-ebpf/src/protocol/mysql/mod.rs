//! MySQL's client/server protocol, as MySQL and MariaDB speak it.
//!
//! Source: "MySQL Source Code Documentation", chapter "Client/Server Protocol", MariaDB Knowledge Base, "Client/Server
//! Protocol", and three facts about both servers: they read one packet at a time, its header and then its body; they
//! read the next command only when all of the answer to the one before is sent; and the end of a result says nothing about
//! how many rows it had. So no queue is needed, and rows are counted by walking from header to header.
//!
//! One process serves all connections, by threads of its own or of a pool: nothing here is known by process.

use super::{Surroundings, is_parsed, outcome};
use crate::connection::{Connection, Phase};

mod attributes;
mod packets;
mod request;
mod response;
mod startup;
#[cfg(test)]
mod tests;

pub use attributes::{Attributes, text_start};

/// How far the answer to a command is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is awaited.
    Idle = 0,
    /// The first packet of an answer, or of a further result.
    First,
    /// Descriptions of columns: `front.limit` are to come.
    Columns,
    /// Right behind them.
    Described,
    /// Rows.
    Rows,
    /// The client sends a file.
    Infile,
    /// What describes a prepared statement: `front.limit` packets are to come.
    Prepared,
    /// Packets up to an end, none of which is a row.
    Fields,
    /// One packet, whatever it is.
    Any,
}

/// The server received `length` bytes. A call of its own, so that other protocols' stacks need not hold it.
#[inline(never)]
pub fn received<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    c.seen_received += u64::from(length);
    c.received += u64::from(length);
    if is_walked(c) || startup::received(s, c, length) {
        request::received(s, c, length);
    }
}

/// The server sent `length` bytes.
#[inline(never)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    c.seen_sent += u64::from(length);
    if is_walked(c) {
        response::sent(s, c, length);
    } else {
        startup::sent(s, c, length);
    }
}

/// The connection ended.
#[inline(always)]
pub fn closed<S: Surroundings>(s: &mut S, c: &mut Connection) {
    outcome::close(s, c);
}

/// May a send of `length` bytes, the first eight of which are these, be a server's first words to a client: a greeting, or
/// an error instead, in one packet?
#[inline(always)]
pub fn is_greeting(word: u64, length: u32) -> bool {
    let first = (word >> 32) as u8;
    packets::length(word as u32) + packets::HEADER == length
        && packets::sequence(word as u32) == 0
        && (first == packets::GREETING || first == packets::ERROR)
}

/// Do packets follow each other in clear? Even the first ones do.
#[inline(always)]
fn is_walked(c: &Connection) -> bool {
    is_parsed(c) || c.phase == Phase::Startup as u8
}
