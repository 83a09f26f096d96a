//! What a statement's text says, and what stands for it until it is executed.

use super::Surroundings;
use crate::{
    connection::Connection,
    fingerprint::{CAPTURE, Dialect},
    link,
};

/// In a fingerprint that stands behind a name: see [`crate::connection::REQUEST_APART`].
pub const APART: u64 = 2;

/// Likewise: its text brought a link to the application's trace, which is of the execution that comes next.
pub const LINKED: u64 = 4;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Fingerprint.
    pub fingerprint: u64,
    /// It may hold several statements.
    pub several: bool,
    /// It is longer than what is looked at.
    pub truncated: bool,
    /// See [`crate::connection::REQUEST_APART`].
    pub apart: bool,
    /// `Connection::link` is the number of its link.
    pub linked: bool,
}

/// Fingerprint of a text; hands it on when it is new, and what only this execution of it says.
#[inline(always)]
pub fn take<S: Surroundings, D: Dialect>(
    s: &mut S,
    c: &mut Connection,
    start: u32,
    end: u32,
    dialect: D,
) -> Text {
    let hashed = s.fingerprint(start, end, dialect);
    let truncated = hashed.length == CAPTURE && end - start > CAPTURE + 1;
    if truncated {
        s.count_truncated();
    }
    let apart = s.text(c, hashed.fingerprint, start, hashed.length, truncated);
    let end = start + hashed.length;
    let linked = link::may_end_in(s.window(), end) && s.link(c, hashed.fingerprint, start, end);
    Text {
        fingerprint: hashed.fingerprint,
        several: hashed.several,
        truncated,
        apart,
        linked,
    }
}
