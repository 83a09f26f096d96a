//! Wire protocols: framing and row counts. No kernel call in here; what they need comes through [`Surroundings`].

use crate::{
    bytes::Window,
    connection::{Connection, Phase, Request},
    fingerprint::{Dialect, Hashed},
    record::{CommandTag, StartupKind},
    scratch::Scratch,
};

mod encryption;
pub mod mysql;
pub mod outcome;
mod pieces;
pub mod postgres;
pub mod redis;
#[cfg(all(not(target_arch = "bpf"), any(test, feature = "simulation")))]
pub mod simulation;
mod tail;
mod text;

/// What a protocol needs from the kernel program that runs it, or from the unit test.
pub trait Surroundings {
    /// Working memory.
    fn scratch(&mut self) -> &mut Scratch;
    /// The window that `read` fills.
    #[inline(always)]
    fn window(&mut self) -> &mut Window {
        &mut self.scratch().window
    }
    /// Copies `length` bytes at `offset` of this operation's data to `position` of the window; false when the
    /// process's memory can't be read.
    fn read(&mut self, offset: u32, length: u32, position: u32) -> bool;
    /// Where this operation's data lies in the process's memory, when it is in one piece.
    fn address(&self) -> Option<u64>;
    /// Did the process want to send more than the `length` bytes that this operation took?
    fn is_cut(&self, length: u32) -> bool;
    /// Copies `length` bytes of the process's memory to `position` of the window; false when they can't be read.
    fn read_at(&mut self, address: u64, length: u32, position: u32) -> bool;
    /// `CLOCK_MONOTONIC` in nanoseconds.
    fn now(&mut self) -> u64;
    /// A mark for this moment, cheaper than [`Self::now`] and exact to a tick; `ring` turns it into a time.
    fn roughly_now(&self) -> u64 {
        ROUGHLY | self.ticks()
    }
    /// A clock that costs nothing and ticks some hundred times a second.
    fn ticks(&self) -> u64;
    /// Keys of the fingerprint.
    fn keys(&self) -> [u64; 2];
    /// Hashes the text that begins at `start` of the window and ends at `end` or, where one ends texts, its NUL.
    fn fingerprint<D: Dialect>(&mut self, start: u32, end: u32, dialect: D) -> Hashed;
    /// Bytes of a response that are walked before it is skimmed.
    fn skim_after(&self) -> u64;
    /// Is a progress record due, `bytes` after the last, which left at the tick `reported_at` (lower half)?
    fn progress_due(&self, bytes: u64, reported_at: u32) -> bool;
    /// Hands on the text of a statement unless it is known; true when every execution must be handed on by itself.
    fn text(
        &mut self,
        connection: &mut Connection,
        fingerprint: u64,
        start: u32,
        length: u32,
        truncated: bool,
    ) -> bool;
    /// Hands on to which trace the application says that a statement belongs, whose text from `start` to `end` may end in such
    /// a comment; true when it was, and `connection.link` is its number.
    fn link(&mut self, connection: &mut Connection, fingerprint: u64, start: u32, end: u32)
    -> bool;
    /// The packed code of an error whose fields lie between `start` and `end` of the window; zero when it is not found.
    fn sqlstate(&mut self, start: u32, end: u32) -> u32;
    /// Hands on what a client says of itself.
    fn startup(
        &mut self,
        connection: &mut Connection,
        kind: StartupKind,
        start: u32,
        length: u32,
        truncated: bool,
    );
    /// Adds completions of the front request, ordinary ones without flags, to others of its statement; false when
    /// they must be handed on by themselves.
    fn merge(&mut self, connection: &mut Connection, several: &Several) -> bool;
    /// The same with those in `scratch().run`.
    fn merge_run(&mut self, connection: &mut Connection) -> bool;
    /// Hands on what was put together for a connection.
    fn flush(&mut self, connection: &mut Connection);
    /// Hands on the finished statement in `scratch().walk.outcome`.
    fn statement(&mut self, connection: &Connection);
    /// Hands on progress of an unfinished one.
    fn progress(&mut self, connection: &Connection, rows_exact: u64, rows_estimated: u64, now: u64);
    /// Hands on bytes of a phase that is not parsed, or the change to another phase.
    fn phase(&mut self, connection: &Connection);
    /// Hands on that the connection became ready for queries.
    fn phase_entered(&mut self, connection: &Connection);
    /// The connection ended.
    fn closed(&mut self, connection: &Connection);
    /// Remembers what a named statement or portal stands for.
    fn remember(&mut self, connection: &Connection, name: u64, fingerprint: u64);
    /// What a named statement or portal stands for, zero when unknown.
    fn recall(&mut self, connection: &Connection, name: u64) -> u64;
    /// Appends a request to the queue; merges into the last when it is full. True when by that it is not known any more what one of them
    /// changes of the connection (Redis').
    fn push(&mut self, connection: &mut Connection, request: Request) -> bool;
    /// Takes the oldest request from the queue into `front`.
    fn pop(&mut self, connection: &mut Connection);
    /// Marks the newest request in the queue as followed by a `Sync`; false when it is already.
    fn sync_last(&mut self, connection: &mut Connection) -> bool;
    /// Saves `length` bytes at `position` of the window as a received message's beginning; false when it can't.
    fn save_partial(&mut self, position: u32, length: u32) -> bool;
    /// Restores `length` saved bytes to `position` of the window.
    fn restore_partial(&mut self, position: u32, length: u32) -> bool;
    /// Frees the storage of a saved beginning.
    fn drop_partial(&mut self);
    /// The packed plan of [`crate::picked`] for a statement; zero for nearly all.
    fn plan(&mut self, fingerprint: u64) -> u64;
    /// Hands on by which keys a statement picks its rows: those among the literals of the text from `start` to `end`, or
    /// among the parameters of a `Bind` (`bound`), whose formats begin there.
    fn pick(
        &mut self,
        connection: &Connection,
        fingerprint: u64,
        plan: u64,
        start: u32,
        end: u32,
        bound: bool,
    );
    /// Counts a text longer than what is captured.
    fn count_truncated(&mut self);
    /// Where MySQL's text begins behind the attributes between `start` and `end`, zero when that is not found: see
    /// [`mysql::text_start`].
    fn behind_attributes(&mut self, start: u32, end: u32, says_so: bool) -> u32;
    /// Takes the beginning of the request of Redis' at `walk.position` apart: see [`redis::head`].
    fn redis_head(&mut self) -> u32;
    /// Will the plaintext be seen, should this connection become TLS?
    fn sees_plaintext(&self) -> bool {
        false
    }
}

/// Is the stream taken apart, and not only counted?
#[inline(always)]
pub fn is_parsed(connection: &Connection) -> bool {
    connection.phase == Phase::Ready as u8 || connection.phase == Phase::Authentication as u8
}

/// In a time: it is a tick.
pub const ROUGHLY: u64 = 1 << 63;

/// The end of a statement, or bytes outside of any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Statement, zero for none.
    pub fingerprint: u64,
    /// See `StatementRecord::rows_returned`.
    pub rows_returned: i64,
    /// Rows written.
    pub rows_written: u64,
    /// `STATEMENT_*`.
    pub flags: u8,
    /// Command.
    pub tag: CommandTag,
    /// Number of its `LinkRecord`, zero without one.
    pub link: u8,
    /// Statements closed.
    pub queries: u32,
    /// Packed code of its error, zero without one.
    pub sqlstate: u32,
    /// Of several statements: most rows that one returned and wrote.
    pub largest_rows: u32,
    /// Of several statements: most bytes that one sent.
    pub largest_bytes: u32,
    /// Request seen; a time, or a mark of [`Surroundings::roughly_now`].
    pub started: u64,
    /// Now.
    pub ended: u64,
}

/// What the end of a statement says.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// Command.
    pub tag: CommandTag,
    /// Rows returned.
    pub returned: u64,
    /// Rows written.
    pub written: u64,
    /// `STATEMENT_*`.
    pub flags: u8,
}

/// Completions of one statement, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Several {
    /// What all of them say together.
    pub completion: Completion,
    /// How many.
    pub queries: u32,
    /// Most rows that one returned and wrote.
    pub largest_rows: u32,
    /// Most bytes that one sent.
    pub largest_bytes: u32,
}

impl Several {
    /// A single one, of which no byte has been reported.
    #[inline(always)]
    pub fn one(c: &Connection, completion: &Completion) -> Self {
        Self {
            completion: *completion,
            queries: 1,
            largest_rows: (completion.returned + completion.written) as u32,
            largest_bytes: c.sent as u32,
        }
    }
}

/// Where a walk over messages is. Lives in [`Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// Next byte in the window.
    pub position: u32,
    /// End of the bytes in the window.
    pub end: u32,
    /// Bytes of the operation that are done with.
    pub offset: u32,
    /// Bytes of the operation.
    pub length: u32,
    /// Sent: a statement completed and is reported with the `ReadyForQuery` that usually follows.
    /// Received: the client said goodbye.
    pub pending: bool,
    /// That statement.
    pub outcome: Outcome,
}
