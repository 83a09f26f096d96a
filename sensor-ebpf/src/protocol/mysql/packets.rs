//! Packets: framing, commands, numbers, and what the server's answers begin with.

use crate::{bytes::Window, protocol::Surroundings};

/// Length of a packet's header: three bytes of length, one that counts packets.
pub const HEADER: u32 = 4;
/// A packet of this length goes on with the next one.
pub const LONGEST: u32 = 0xff_ffff;

/// Commands that need names: the protocol's own, without `COM_`.
pub mod command {
    pub const QUIT: u8 = 0x01;
    pub const INIT_DB: u8 = 0x02;
    pub const QUERY: u8 = 0x03;
    pub const FIELD_LIST: u8 = 0x04;
    pub const STATISTICS: u8 = 0x09;
    pub const PROCESS_INFO: u8 = 0x0a;
    pub const CHANGE_USER: u8 = 0x11;
    pub const BINLOG_DUMP: u8 = 0x12;
    pub const TABLE_DUMP: u8 = 0x13;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_EXECUTE: u8 = 0x17;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
    pub const STMT_FETCH: u8 = 0x1c;
    pub const BINLOG_DUMP_GTID: u8 = 0x1e;
    pub const CLONE: u8 = 0x20;
    pub const GROUP_REPLICATION: u8 = 0x21;
    pub const STMT_BULK_EXECUTE: u8 = 0xfa;
}

/// Bytes that are read of a packet at the most, whatever its length, without a look at where it ends.
const SHORT: u32 = 32;

/// What lies behind a piece is of other operations: nothing of it gets into a packet that is shorter than it says.
#[inline(always)]
pub fn end_piece<S: Surroundings>(s: &mut S) {
    let end = s.scratch().walk.end;
    let mut at = 0;
    while at < SHORT {
        s.window().set_le64(end + at, 0);
        at += 8;
    }
}

/// Is there such a command?
#[inline(always)]
pub fn is_command(byte: u8) -> bool {
    byte <= command::GROUP_REPLICATION || byte == command::STMT_BULK_EXECUTE
}

/// Does another protocol begin behind this command, unless the server refuses it?
#[inline(always)]
pub fn takes_over(command: u8) -> bool {
    matches!(
        command,
        command::BINLOG_DUMP
            | command::BINLOG_DUMP_GTID
            | command::TABLE_DUMP
            | command::CLONE
            | command::GROUP_REPLICATION
    )
}

/// First byte of the server's first packet: the protocol's version.
pub const GREETING: u8 = 10;
/// First byte of an answer: done.
pub const OK: u8 = 0x00;
/// First byte of an answer: the client is to send a file.
pub const INFILE: u8 = 0xfb;
/// First byte of an answer: end of rows or descriptions.
pub const END: u8 = 0xfe;
/// First byte of an answer: an error, or news of how far a statement is.
pub const ERROR: u8 = 0xff;

/// Of an answer's status: another result follows.
pub const STATUS_MORE: u32 = 0x0008;
/// Rows are to be fetched; none follow.
pub const STATUS_CURSOR: u32 = 0x0040;
/// `NO_BACKSLASH_ESCAPES` is on.
pub const STATUS_PLAIN: u32 = 0x0200;

/// Length of the packet whose header is at hand.
#[inline(always)]
pub fn length(header: u32) -> u32 {
    header & LONGEST
}

/// Its sequence number.
#[inline(always)]
pub fn sequence(header: u32) -> u8 {
    (header >> 24) as u8
}

/// A number of one to nine bytes at `position`, and the position behind it.
#[inline(always)]
pub fn number(window: &mut Window, position: u32) -> (u64, u32) {
    let first = window.byte(position);
    let word = window.le64(position + 1);
    match first {
        0xfc => (word & 0xffff, position + 3),
        0xfd => (word & 0xff_ffff, position + 4),
        0xfe => (word, position + 9),
        _ => (u64::from(first), position + 1),
    }
}

/// Affected rows and status of the `OK` whose body begins at `position`.
#[inline(always)]
pub fn ok(window: &mut Window, position: u32) -> (u64, u32) {
    let (affected, behind) = number(window, position + 1);
    let (_, behind) = number(window, behind);
    (affected, window.le64(behind) as u32 & 0xffff)
}

/// Status of the end of rows, `length` bytes long, at `position`: an `EOF`, or an `OK` in its place.
#[inline(always)]
pub fn end_status(window: &mut Window, position: u32, length: u32) -> u32 {
    if length == EOF_LENGTH {
        (window.le64(position) >> 24) as u32 & 0xffff
    } else if length > EOF_LENGTH {
        ok(window, position).1
    } else {
        0
    }
}

/// Length of an `EOF`; an `OK` in its place is longer.
pub const EOF_LENGTH: u32 = 5;
