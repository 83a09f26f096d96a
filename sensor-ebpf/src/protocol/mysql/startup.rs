//! The handshake's answer, and phases of which only bytes are counted.

use super::{
    Stage,
    packets::{self, command, is_command},
};
use crate::{
    bytes::BASE,
    connection::{
        Connection, MYSQL_ATTRIBUTES, MYSQL_CHANGES_USER, MYSQL_COMPRESSES, MYSQL_DEPRECATES_EOF,
        MYSQL_RECEIVED_CONTINUES, MYSQL_SENT_CONTINUES, Phase, TLS_TIED,
    },
    protocol::{
        Surroundings, encryption,
        outcome::{self, forget_bytes},
    },
    record::StartupKind,
};

/// Of a client's capabilities: the protocol since 4.1.
const PROTOCOL_41: u32 = 1 << 9;
/// It goes on with TLS.
const SSL: u32 = 1 << 11;
/// With compressed packets (zlib, zstd), once the server has let it in.
const COMPRESS: u32 = 1 << 5 | 1 << 26;
/// See [`MYSQL_DEPRECATES_EOF`].
const DEPRECATE_EOF: u32 = 1 << 24;
/// See [`MYSQL_ATTRIBUTES`].
const QUERY_ATTRIBUTES: u32 = 1 << 27;
/// Length of the fixed part of a client's answer, and of the packet that asks for TLS.
const FIXED: u32 = 32;

/// The client's answer to the handshake, between `start` and `end` of the window; there is more of it when `truncated`.
#[inline(always)]
pub fn response<S: Surroundings>(
    s: &mut S,
    c: &mut Connection,
    start: u32,
    end: u32,
    truncated: bool,
) {
    let length = end - start;
    let capabilities = s.window().le64(start) as u32;
    if length < FIXED || capabilities & PROTOCOL_41 == 0 {
        // From a shallower place, for want of stack.
        c.requests_lost = 1;
    } else if capabilities & SSL != 0 && c.tls & TLS_TIED == 0 {
        // However long: the server goes by this alone. In TLS, the answer comes once more.
        encryption::begin(s, c);
    } else {
        s.startup(c, StartupKind::MySql, start, length, truncated);
        if capabilities & COMPRESS != 0 {
            c.mysql.flags |= MYSQL_COMPRESSES;
        }
        if capabilities & DEPRECATE_EOF != 0 {
            c.mysql.flags |= MYSQL_DEPRECATES_EOF;
        }
        if capabilities & QUERY_ATTRIBUTES != 0 {
            c.mysql.flags |= MYSQL_ATTRIBUTES;
        }
        c.phase = Phase::Authentication as u8;
    }
}

/// The server lets the client in.
#[inline(always)]
pub fn admitted<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if c.mysql.flags & MYSQL_COMPRESSES != 0 {
        enter(s, c, Phase::Compressed);
    } else {
        c.phase = Phase::Ready as u8;
        s.phase_entered(c);
        outcome::overhead(s, c);
    }
    authenticated(c);
}

/// The server refuses another user: MariaDB goes on with the one before, MySQL closes the connection.
#[inline(always)]
pub fn refused<S: Surroundings>(s: &mut S, c: &mut Connection) {
    s.startup(c, StartupKind::MySqlRefused, BASE, 0, false);
    c.phase = Phase::Ready as u8;
    outcome::overhead(s, c);
    authenticated(c);
}

/// It is settled who asks from here on.
#[inline(always)]
fn authenticated(c: &mut Connection) {
    c.mysql.flags &= !MYSQL_CHANGES_USER;
    c.mysql.stage = Stage::Idle as u8;
    c.response_bytes = 0;
}

/// Bytes from the client outside of the parsed phases; true when they turn out to be parsed again.
///
/// A blind connection makes sense again when the server reads four bytes that are the header of a first packet, and then
/// what may be the command that it announces: of encrypted or compressed packets it reads another number of bytes first.
#[inline(never)]
pub fn received<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) -> bool {
    if c.phase == Phase::Handshake as u8 {
        encryption::bound(s, c);
        return false;
    }
    let announced = u32::from(c.mysql.header_bytes) == packets::HEADER;
    c.mysql.header_bytes = 0;
    if c.phase == Phase::Blind as u8 || c.phase == Phase::Compressed as u8 {
        if announced
            && length <= packets::length(c.header())
            && s.read(0, 1, BASE)
            && is_likely(s.window().byte(BASE))
        {
            resume(s, c);
            return true;
        }
        if length == packets::HEADER && s.read(0, length, BASE) {
            let header = s.window().le64(BASE) as u32;
            if packets::sequence(header) == 0 && packets::length(header) > 0 {
                c.set_header(header);
                c.mysql.header_bytes = packets::HEADER as u8;
                // What came before is reported now, the header with what it announces.
                let header = u64::from(packets::HEADER);
                c.received -= header;
                s.phase(c);
                forget_bytes(c);
                c.received = header;
                return false;
            }
        }
    }
    if c.sent > 0 {
        // One record a turn, so that the conversation is accounted for while it goes on.
        s.phase(c);
        forget_bytes(c);
    }
    false
}

/// The stream makes sense again with the command at hand, whose header was the last that came before.
#[inline(always)]
fn resume<S: Surroundings>(s: &mut S, c: &mut Connection) {
    forget_stream(c);
    s.startup(c, StartupKind::MySqlUnknown, BASE, 0, false);
    c.mysql.header_bytes = packets::HEADER as u8;
    c.phase = Phase::Ready as u8;
    s.phase_entered(c);
}

/// Bytes to the client outside of the parsed phases.
#[inline(always)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    c.sent += u64::from(length);
    if c.phase == Phase::Handshake as u8 {
        encryption::bound(s, c);
    } else if s.progress_due(c.sent, c.reported_at) {
        s.phase(c);
        forget_bytes(c);
    }
}

/// Is it a command that clients send all the time?
#[inline(always)]
fn is_likely(byte: u8) -> bool {
    is_command(byte) && byte != 0 && byte != command::QUIT && byte != command::CHANGE_USER
}

#[inline(always)]
pub fn enter<S: Surroundings>(s: &mut S, c: &mut Connection, phase: Phase) {
    outcome::enter(s, c, phase);
    c.mysql.header_bytes = 0;
}

#[inline(always)]
fn forget_stream(c: &mut Connection) {
    outcome::forget_response(c);
    c.outstanding = 0;
    c.sent_skip = 0;
    c.received_skip = 0;
    c.partial = 0;
    c.carried = 0;
    c.ordinal = 0;
    c.mysql.stage = Stage::Idle as u8;
    c.mysql.flags &= !(MYSQL_RECEIVED_CONTINUES | MYSQL_SENT_CONTINUES);
}
