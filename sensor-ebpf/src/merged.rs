//! Completions of equal statements of one connection, put together until userspace asks for them.
//!
//! A record for each of thousands of equal statements a second costs more than all else: in the kernel for the ring, in
//! userspace for its way through the pipeline. So small, ordinary completions are added up here, and leave as one record
//! when userspace drains (every `kernel.drain_interval`), when their rows reach [`MOST_ROWS`], or right before anything
//! whose place among them matters.

use crate::{bytes::swar, connection::Connection, protocol::Several, record::CommandTag};

/// Statements of a connection that are added up side by side.
pub const WAYS: u32 = 8;
const _: () = assert!(WAYS == u64::BITS / 8, "a byte of `Connection::ways` each");

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

/// Which of its connection's [`WAYS`] a statement takes: the one it had, else a free one, else the one whose tick it is.
///
/// So of more statements than there are ways, which come again and again in the same order, all but one way's keep theirs.
#[inline(always)]
pub fn way(c: &mut Connection, tick: u64) -> u32 {
    let tag = tag(c.front.fingerprint);
    let matches = swar::equal(c.ways, tag);
    if matches != 0 {
        return first(matches);
    }
    let free = swar::zero(c.ways);
    let way = if free != 0 {
        first(free)
    } else {
        tick as u32 & (WAYS - 1)
    };
    let shift = way * 8;
    c.ways = c.ways & !(0xff << shift) | u64::from(tag) << shift;
    way
}

/// Are completions of this statement being added up, most likely? A drain may have taken them.
#[inline(always)]
pub fn is_open(c: &Connection, fingerprint: u64) -> bool {
    let matches = swar::equal(c.ways, tag(fingerprint));
    matches != 0 && c.merged >> first(matches) & 1 != 0
}

/// A statement's byte in [`Connection::ways`], where zero is none. Two statements with one byte share a way.
#[inline(always)]
fn tag(fingerprint: u64) -> u8 {
    let byte = (fingerprint >> 8) as u8;
    if byte == 0 { 1 } else { byte }
}

#[inline(always)]
fn first(matches: u64) -> u32 {
    swar::length(swar::mask_before(matches)) & (WAYS - 1)
}

impl Merged {
    /// Does it hold completions of this statement of this connection?
    #[inline(always)]
    pub fn is_of(&self, c: &Connection) -> bool {
        self.fingerprint == c.front.fingerprint && self.connection == c.id
    }

    /// Adds completions of the front request, with all bytes that no record holds yet.
    #[inline(always)]
    pub fn add(&mut self, c: &mut Connection, several: &Several, tick: u64) {
        let completion = &several.completion;
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
        self.queries += several.queries;
        self.rows_returned += completion.returned;
        self.rows_written += completion.written;
        self.bytes_sent += c.sent;
        self.bytes_received += c.received;
        self.ended_at = tick;
        if several.largest_rows > self.largest_rows {
            self.largest_rows = several.largest_rows;
        }
        if several.largest_bytes > self.largest_bytes {
            self.largest_bytes = several.largest_bytes;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn front(c: &mut Connection, fingerprint: u64) -> u32 {
        c.front.fingerprint = fingerprint;
        way(c, 3)
    }

    #[test]
    fn as_many_statements_as_ways_stay_where_they_are() {
        let mut c = Connection::NEW;
        let fingerprints: Vec<u64> = (0..u64::from(WAYS)).map(|i| (i << 9) | 1).collect();
        let ways: Vec<u32> = fingerprints.iter().map(|f| front(&mut c, *f)).collect();
        let again: Vec<u32> = fingerprints.iter().map(|f| front(&mut c, *f)).collect();
        assert_eq!(ways, again);
        let mut sorted = ways.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..WAYS).collect::<Vec<_>>());
        // One more takes the place of one, and only of that.
        assert_eq!(front(&mut c, 1 << 15), 3);
        for (fingerprint, way) in fingerprints.iter().zip(ways) {
            if way != 3 {
                assert_eq!(front(&mut c, *fingerprint), way);
            }
        }
    }

    #[test]
    fn is_open_where_something_was_added() {
        let mut c = Connection::NEW;
        assert!(!is_open(&c, 1));
        let way = front(&mut c, 1);
        assert!(!is_open(&c, 1));
        c.merged |= 1 << way;
        assert!(is_open(&c, 1));
        assert!(!is_open(&c, 0x4001));
    }
}
