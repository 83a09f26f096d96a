//! Names that a client gives: of the user it logs in as, and of the connection. They leave with a number, which the record of the
//! command's end has, too: only then it is known whether the server took them. A password leaves in no record.

use super::{
    command::Kind,
    follow::{RESUMED, SUSPECT},
    head::{Head, Span},
    run,
};
use crate::{
    bytes::BASE,
    connection::Connection,
    link,
    protocol::{Surroundings, outcome},
    record::StartupKind,
};

/// Second byte of such a record, behind the number: the user's name follows.
pub const USER: u8 = b'U';
/// A password alone: of the user by default.
pub const PASSWORD: u8 = b'P';
/// Somebody logs in, and nobody can tell who. With the number zero: has, perhaps.
pub const DOUBT: u8 = b'?';
/// The connection's name follows, which the application makes up.
pub const APPLICATION: u8 = b'N';

/// Bytes of a name; longer ones are none.
const LONGEST: u32 = 256;

/// Tells the names of the request in `scratch.head`, and the number under which that was done; zero when it has none.
#[inline(never)]
pub fn tell<S: Surroundings>(s: &mut S, c: &mut Connection, kind: u8) -> u8 {
    let Head {
        user,
        name,
        doubtful,
        hidden,
        ..
    } = s.scratch().head;
    let doubtful = doubtful && (kind == Kind::Auth as u8 || kind == Kind::Hello as u8) || hidden;
    let logs_in = doubtful || user.start != 0 || kind == Kind::Auth as u8;
    if !logs_in && name.start == 0 {
        return 0;
    }
    let number = link::next(c.link);
    c.link = number;
    if name.start != 0 && name.length <= LONGEST {
        record(s, c, number, APPLICATION, name);
    }
    if logs_in {
        let what = if doubtful || user.length > LONGEST || c.mysql.flags & (RESUMED | SUSPECT) != 0
        {
            DOUBT
        } else if user.start != 0 {
            USER
        } else {
            PASSWORD
        };
        let user = if what == USER { user } else { NOBODY };
        record(s, c, number, what, user);
    }
    number
}

/// In front of all that is ever parsed.
const NOBODY: Span = Span {
    start: BASE - 8,
    length: 0,
};

/// Somebody may have logged in, and no answer will tell. What was done before was done by who it was.
#[inline(never)]
pub fn doubt<S: Surroundings>(s: &mut S, c: &mut Connection) {
    run::flush(s, c);
    outcome::flush(s, c);
    record(s, c, 0, DOUBT, NOBODY);
}

/// The number and what it is take the place of the two bytes in front of the name, which are done with.
#[inline(always)]
fn record<S: Surroundings>(s: &mut S, c: &mut Connection, number: u8, what: u8, name: Span) {
    let start = name.start - 2;
    s.window().set(start, number);
    s.window().set(start + 1, what);
    s.startup(c, StartupKind::Redis, start, name.length + 2, false);
}
