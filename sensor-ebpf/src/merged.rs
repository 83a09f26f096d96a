//! Completions of equal statements of one connection, put together until userspace asks for them.
//!
//! A record for each of thousands of equal statements a second costs more than all else: in the kernel for the ring, in
//! userspace for its way through the pipeline. So small, ordinary completions are added up here, and leave as one record
//! when userspace drains (every `kernel.drain_interval`), when their rows reach [`MOST_ROWS`], or right before anything
//! whose place among them matters.

use crate::{connection::Connection, protocol::Completion, record::CommandTag};

/// Statements of a connection that are added up side by side.
pub const WAYS: u32 = 4;

/// Rows in one record at the most: a limit that they cross must not wait.
pub const MOST_ROWS: u64 = 1000;

/// See the module. Free when `queries` is zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Merged {
    /// Held by the operation or drain that works on it: 1.
    pub lock: u64,
    /// Statement.
    pub fingerprint: u64,
    /// Connection.
    pub connection: u64,
    /// Statements completed.
    pub queries: u32,
    /// A [`CommandTag`].
    pub tag: u32,
    /// Rows returned.
    pub rows_returned: u64,
    /// Rows written.
    pub rows_written: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Request of the first: see `Request::started`.
    pub started: u64,
    /// Tick (`jiffies`) of the last's completion: a clock read for each would cost more than all of this.
    pub ended_at: u64,
    /// Most rows that one of them returned and wrote.
    pub largest_rows: u32,
    /// Most bytes that one of them sent.
    pub largest_bytes: u32,
}

const _: () = assert!(size_of::<Merged>() == 88);

/// Can completions of this kind be put together? Not those whose order among others means something: `SET` changes who
/// runs what follows, a cursor is declared before it is fetched from.
#[inline(always)]
pub fn is_ordinary(tag: CommandTag) -> bool {
    matches!(
        tag,
        CommandTag::Select
            | CommandTag::Insert
            | CommandTag::Update
            | CommandTag::Delete
            | CommandTag::Merge
            | CommandTag::Transaction
    )
}

/// Which of its connection's [`WAYS`] a statement takes.
#[inline(always)]
pub fn way(fingerprint: u64) -> u32 {
    (fingerprint >> 8) as u32 & (WAYS - 1)
}

impl Merged {
    /// Does it hold completions of this statement of this connection?
    #[inline(always)]
    pub fn is_of(&self, c: &Connection) -> bool {
        self.fingerprint == c.front.fingerprint && self.connection == c.id
    }

    /// Adds the completion of the front request, with all bytes that no record holds yet.
    #[inline(always)]
    pub fn add(&mut self, c: &mut Connection, completion: &Completion, tick: u64) {
        if self.queries == 0 {
            self.fingerprint = c.front.fingerprint;
            self.connection = c.id;
            self.tag = completion.tag as u32;
            self.rows_returned = 0;
            self.rows_written = 0;
            self.bytes_sent = 0;
            self.bytes_received = 0;
            self.started = c.front.started;
            self.largest_rows = 0;
            self.largest_bytes = 0;
        }
        self.queries += 1;
        self.rows_returned += completion.returned;
        self.rows_written += completion.written;
        self.bytes_sent += c.sent;
        self.bytes_received += c.received;
        self.ended_at = tick;
        let rows = (completion.returned + completion.written) as u32;
        if rows > self.largest_rows {
            self.largest_rows = rows;
        }
        if c.sent as u32 > self.largest_bytes {
            self.largest_bytes = c.sent as u32;
        }
        c.sent = 0;
        c.received = 0;
    }

    /// Must it leave now?
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.rows_returned + self.rows_written >= MOST_ROWS
    }
}
