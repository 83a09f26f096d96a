//! PostgreSQL frontend/backend protocol 3.x.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol" (message formats), and the facts that the
//! server reads into a buffer of 8 KiB and sends from one of 8 KiB, and reads only when it has answered all that it
//! has read. The last is what makes an attempt to read a proof that a response is over.

use super::{Surroundings, is_parsed, outcome::lose_track};
use crate::connection::{CONNECTION_CLOSED, Connection, Follow};

#[cfg(floor)]
pub use outcome::skipped_turn;
pub use request::mergeable;
#[cfg(floor)]
pub use request::{Taken, taken, turn as received_turn};
#[cfg(floor)]
pub use response::{turn as sent_turn, walk};
pub use startup::is_startup;

mod completion;
mod messages;
mod outcome;
mod request;
mod response;
mod skim;
mod startup;
#[cfg(test)]
mod tests;

/// The server received `length` bytes.
#[inline(always)]
pub fn received<S: Surroundings>(surroundings: &mut S, connection: &mut Connection, length: u32) {
    wants_input(surroundings, connection);
    if connection.requests_lost != 0 {
        connection.requests_lost = 0;
        lose_track(surroundings, connection);
    }
    connection.seen_received += u64::from(length);
    connection.received += u64::from(length);
    if is_parsed(connection) || startup::received(surroundings, connection, length) {
        request::received(surroundings, connection, length);
    }
}

/// The server sent `length` bytes.
#[inline(always)]
pub fn sent<S: Surroundings>(surroundings: &mut S, connection: &mut Connection, length: u32) {
    connection.seen_sent += u64::from(length);
    if is_parsed(connection) {
        response::sent(surroundings, connection, length);
    } else {
        startup::sent(surroundings, connection, length);
    }
}

/// The server tried to read: whatever looked like the end of a skimmed response was one.
#[inline(always)]
pub fn wants_input<S: Surroundings>(surroundings: &mut S, connection: &mut Connection) {
    if connection.follow != Follow::Walk as u8 {
        skim::confirm_end(surroundings, connection);
    }
}

/// The connection ended (end of file, `Terminate`, or an error on its socket).
#[inline(always)]
pub fn closed<S: Surroundings>(surroundings: &mut S, connection: &mut Connection) {
    if !connection.has(CONNECTION_CLOSED) {
        wants_input(surroundings, connection);
    }
    outcome::close(surroundings, connection);
}
