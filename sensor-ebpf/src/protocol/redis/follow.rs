//! What is kept of a connection beyond what all protocols keep, in the places of what others alone need.

use crate::connection::Connection;

/// The server is in the middle of a line.
pub const SENT_LINE: u8 = 1;
/// The client is.
pub const RECEIVED_LINE: u8 = 2;
/// Lists may be messages that the client did not ask for one by one: it has subscribed, by the protocol's second version.
pub const SUBSCRIBED: u8 = 4;
/// It gets a line for each command that any client gives.
pub const MONITORS: u8 = 8;
/// It wants no answers.
pub const UNANSWERED: u8 = 16;
/// It wants none to its next request.
pub const SKIPS: u8 = 32;
/// The answer at hand is an error.
pub const FAILED: u8 = 64;
/// The answer at hand is no success either: the command waits for `EXEC`.
pub const QUEUED: u8 = 128;

/// In the place of MySQL's flags: the stream made no sense for a while. Where it does again may be the inside of a value that the client
/// made up, so nobody's login is believed any more.
pub const RESUMED: u8 = 1;

/// Likewise: which answer is whose can't be told any more, because the client has said that it wants none, or in a way that is not
/// taken apart. All that is answered is data from then on, whatever was asked for, and nobody's login is believed either.
pub const SUSPECT: u8 = 2;

/// Where an answer is. No header of it has come where all is zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Elements that have not begun yet, on all levels.
    pub pending: u32,
    /// Of those, the elements of the outermost list; [`OUTERMOST`] before that has begun.
    pub upper: u32,
}

/// See [`Answer::upper`].
pub const OUTERMOST: u32 = u32::MAX;

/// The two counts that lie in the place of the unnamed portal.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Arguments of a request that are to come.
    pub arguments: u32,
    /// Elements of an attribute do not count: until only so many are pending.
    pub muted: u32,
}

const _: () = assert!(size_of::<Answer>() == 8 && size_of::<Counts>() == 8);

impl Connection {
    /// See there.
    #[inline(always)]
    pub fn answer(&mut self) -> &mut Answer {
        // SAFETY: two numbers of four bytes in the place of one of eight, of which any bits are valid.
        unsafe { &mut *(&raw mut self.unnamed_statement).cast() }
    }

    /// See there.
    #[inline(always)]
    pub fn counts(&mut self) -> &mut Counts {
        // SAFETY: as above.
        unsafe { &mut *(&raw mut self.unnamed_portal).cast() }
    }

    /// May an answer be another request's than it seems?
    #[inline(always)]
    pub fn is_suspect(&self) -> bool {
        self.mysql.flags & SUSPECT != 0
    }

    /// It may, from now on.
    #[inline(always)]
    pub fn suspect(&mut self) {
        self.mysql.flags |= SUSPECT;
    }

    /// Is one of these set?
    #[inline(always)]
    pub fn marks(&self, flags: u8) -> bool {
        self.mysql.stage & flags != 0
    }

    /// Sets it.
    #[inline(always)]
    pub fn mark(&mut self, flags: u8) {
        self.mysql.stage |= flags;
    }

    /// Clears them.
    #[inline(always)]
    pub fn unmark(&mut self, flags: u8) {
        self.mysql.stage &= !flags;
    }
}
