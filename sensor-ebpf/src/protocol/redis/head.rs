//! What a request begins with: how many arguments, the command, and of those arguments the few that matter.

use super::{
    again, arguments,
    command::{self, Command, Kind, UPPER},
    number::{self, number},
    pattern,
};
use crate::{
    bytes::{Window, barrier, swar},
    fingerprint::{finish, mix},
    loops::{Step, repeat},
    protocol::Walk,
    scratch::Scratch,
};

/// Answers of [`head`]: the stream makes no sense.
pub const BAD: u32 = 0;
/// More bytes are needed.
pub const MORE: u32 = 1;
/// A request without a command, which is not answered.
pub const NOTHING: u32 = 2;
/// A request.
pub const TAKEN: u32 = 3;

/// Of an argument: the server takes no longer ones.
const LONGEST: u64 = 0xf000_0000;
/// Of a request: likewise.
const MOST: u64 = i32::MAX as u64;
/// Bytes of a command's name; what is longer is none.
pub const NAME: u32 = 24;
/// Arguments that are looked at.
pub const LOOKED_AT: u32 = 12;
/// Blanks in front of a word of a line; behind more it is not looked for.
pub const BLANKS: u32 = 32;
/// Sets the fingerprints of requests apart from those of texts.
const SEED: u64 = u64::from_le_bytes(*b"Redis\0\0\0");

/// `CLIENT REPLY` …: nothing is answered any more.
pub const OFF: u8 = 1;
/// The next request is not answered.
pub const SKIP: u8 = 2;
/// All are.
pub const ON: u8 = 3;
/// This one is not answered, whatever was wanted: `REPLCONF ACK`.
pub const SILENT: u8 = 4;

/// A part of the window.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Zero where there is none.
    pub start: u32,
    /// In bytes.
    pub length: u32,
}

/// No part.
pub const NONE: Span = Span {
    start: 0,
    length: 0,
};

/// See the module. Lives in [`Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Statement.
    pub fingerprint: u64,
    /// Which command.
    pub command: u32,
    /// Position behind what was taken.
    pub end: u32,
    /// Arguments that follow there.
    pub arguments: u32,
    /// End of what userspace needs.
    pub text_end: u32,
    /// Bytes beyond those at hand will not come first: take what is there.
    pub forced: bool,
    /// It is written in a line, the end of which has not come yet.
    pub goes_on: bool,
    /// `OFF`, `SKIP` or `ON`; zero.
    pub reply: u8,
    /// Who logs in can't be told.
    pub doubtful: bool,
    /// Its command is written in a way that is not taken apart: it may be any.
    pub hidden: bool,
    /// The user who logs in.
    pub user: Span,
    /// The connection's name.
    pub name: Span,
    /// Hash of the command.
    pub hash: u64,
    /// Behind the line that it is; zero where it is none.
    pub line_end: u32,
    /// Where the next argument, or the search for a line's end, begins.
    pub at: u32,
    /// The first key.
    pub key: Span,
    /// Of the pass over arguments.
    pub pass: arguments::State,
}

/// Takes the beginning of the request at `walk.position` apart; the answer is one of the above, and what it is lies in the
/// scratch memory. `head.forced` has to be set.
#[inline(always)]
pub fn head(scratch: &mut Scratch, keys: [u64; 2]) -> u32 {
    let Walk { position, end, .. } = scratch.walk;
    let head = &mut scratch.head;
    head.goes_on = false;
    head.reply = 0;
    head.doubtful = false;
    head.hidden = false;
    head.user = NONE;
    head.name = NONE;
    head.key = NONE;
    head.line_end = 0;
    if again::take(scratch) {
        return TAKEN;
    }
    let word = scratch.window.le64(position);
    let (name, length) = if word as u8 == b'*' {
        match frame(scratch, word, position, end) {
            Ok(name) => name,
            Err(answer) => return answer,
        }
    } else {
        match line(scratch, position, end) {
            Ok(name) => name,
            Err(answer) => return answer,
        }
    };
    let shown = if length > NAME { NAME } else { length };
    if name + shown > end {
        return MORE;
    }
    let command = take_name(scratch, name, length, keys);
    scratch.head.command = command.0;
    // By way of memory, so that the verifier checks what follows once and not for each command.
    barrier();
    let command = Command(scratch.head.command);
    let head = &mut scratch.head;
    head.text_end = name + shown;
    let inline = head.line_end != 0;
    if inline {
        let hidden = is_quoted(&mut scratch.window, name, shown);
        scratch.head.hidden |= hidden;
    }
    let head = &mut scratch.head;
    head.end = name + length + if inline { 0 } else { 2 };
    if length > NAME {
        head.fingerprint = finish(head.hash, keys[0]);
        return taken(scratch);
    }
    if head.arguments > 0 {
        let answer = look(scratch, command, end, keys[0]);
        if answer != TAKEN && !scratch.head.forced {
            return answer;
        }
    }
    let Head { key, hash, .. } = scratch.head;
    let hash = if key.start != 0 {
        pattern::hash(scratch, key.start, key.length, hash, keys[0])
    } else {
        hash
    };
    scratch.head.fingerprint = finish(hash, keys[0]);
    if key.start != 0 && !inline && command.is_of_first_key() && command.kind() == Kind::Data as u8
    {
        again::remember(scratch, position);
    }
    taken(scratch)
}

/// All of a line belongs to it.
#[inline(always)]
fn taken(scratch: &mut Scratch) -> u32 {
    let head = &mut scratch.head;
    if head.line_end != 0 {
        head.end = head.line_end;
        head.arguments = 0;
    }
    TAKEN
}

/// `*2\r\n$3\r\n`, whatever the digits.
const SHORT: u64 = u64::from_le_bytes(*b"*0\r\n$0\r\n");
const SHORT_MASK: u64 = 0xffff_f0ff_ffff_f0ff;

/// Number of arguments and length of the command's name: where that begins, and how long it is.
#[inline(always)]
fn frame(scratch: &mut Scratch, word: u64, position: u32, end: u32) -> Result<(u32, u32), u32> {
    let available = end - position;
    let count = word >> 8 & 15;
    let length = word >> 40 & 15;
    if available >= 8
        && (word ^ SHORT) & SHORT_MASK == 0
        && length < 10
        && count.wrapping_sub(1) < 9
    {
        scratch.head.arguments = count as u32 - 1;
        return Ok((position + 8, length as u32));
    }
    // Below zero nothing follows, as with zero.
    let sign = u32::from((word >> 8) as u8 == b'-');
    let (count, behind) = number(&mut scratch.window, position + 1 + sign);
    if behind == 0 || behind > end {
        return Err(unread(available));
    }
    if count == 0 || sign != 0 {
        scratch.head.end = behind;
        return Err(NOTHING);
    }
    if count > MOST {
        return Err(BAD);
    }
    scratch.head.arguments = count as u32 - 1;
    if behind == end {
        return Err(MORE);
    }
    let length = bulk(&mut scratch.window, behind, end)?;
    Ok((length.start, length.length))
}

/// A number that is not there: is it still to come?
#[inline(always)]
fn unread(available: u32) -> u32 {
    if available <= number::LONGEST {
        MORE
    } else {
        BAD
    }
}

/// The argument whose length stands at `at`, all of which need not be there.
#[inline(always)]
pub fn bulk(window: &mut Window, at: u32, end: u32) -> Result<Span, u32> {
    if at >= end {
        return Err(MORE);
    }
    if window.byte(at) != b'$' {
        return Err(BAD);
    }
    let (length, start) = number(window, at + 1);
    if start == 0 || start > end {
        return Err(unread(end - at));
    }
    if length > LONGEST {
        return Err(BAD);
    }
    Ok(Span {
        start,
        length: length as u32,
    })
}

/// A request that is a line: where its command begins, and how long it is.
#[inline(always)]
fn line(scratch: &mut Scratch, position: u32, end: u32) -> Result<(u32, u32), u32> {
    scratch.head.at = position;
    let mut search = Search {
        scratch: &mut *scratch,
        end,
    };
    repeat(512, &mut search);
    let at = scratch.head.at;
    if at >= end {
        if !scratch.head.forced {
            return Err(MORE);
        }
        scratch.head.goes_on = true;
    }
    scratch.head.line_end = if at >= end { end } else { at + 1 };
    let position = position + blanks(&mut scratch.window, position);
    let length = token(&mut scratch.window, position);
    if length == 0 && position < at {
        // Who puts so many blanks in front of a word has something to hide: it may be any.
        let head = &mut scratch.head;
        head.hidden = true;
        head.arguments = 0;
        return Ok((position, 0));
    }
    if length == 0 {
        scratch.head.end = scratch.head.line_end;
        return Err(if scratch.head.goes_on { BAD } else { NOTHING });
    }
    // More than there are, perhaps: they end with the line.
    scratch.head.arguments = LOOKED_AT;
    Ok((position, length))
}

/// How many blanks stand in front of a word of a line, up to [`BLANKS`].
#[inline(always)]
pub fn blanks(window: &mut Window, at: u32) -> u32 {
    let mut blanks = 0;
    while blanks < BLANKS {
        // As the server has it: `isspace`, but for the line's end.
        let byte = window.byte(at + blanks);
        if !matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c) {
            break;
        }
        blanks += 1;
    }
    blanks
}

/// Does nothing but the line's end follow at `at`?
#[inline(always)]
pub fn line_ends(window: &mut Window, at: u32) -> bool {
    let blanks = blanks(window, at);
    window.byte(at + blanks) == b'\n'
}

/// Is there a quote or a backslash in a command's name?
#[inline(always)]
fn is_quoted(window: &mut Window, at: u32, length: u32) -> bool {
    let mut found = 0;
    let mut i = 0;
    while i < NAME {
        let word = window.le64(at + i);
        let quotes = swar::equal(word, b'"') | swar::equal(word, b'\'') | swar::equal(word, b'\\');
        let left = length.wrapping_sub(i);
        if i + 8 <= length {
            found |= quotes;
        } else if i < length {
            found |= quotes & ((1 << (left * 8)) - 1);
        }
        i += 8;
    }
    found != 0
}

/// Looks for the end of a line from `head.at` on.
struct Search<'a> {
    scratch: &'a mut Scratch,
    end: u32,
}

impl Step for Search<'_> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let mut words = 0;
        while words < 4 {
            let at = self.scratch.head.at;
            if at >= self.end {
                return false;
            }
            let word = self.scratch.window.le64(at);
            let length = swar::length(swar::mask_before(swar::equal(word, b'\n')));
            self.scratch.head.at = at + length;
            if length < 8 {
                return false;
            }
            words += 1;
        }
        true
    }
}

/// How long what begins at `at` is, up to a blank or the line's end; [`NAME`] and more is all the same.
#[inline(always)]
pub fn token(window: &mut Window, at: u32) -> u32 {
    let mut length = 0;
    let mut words = 0;
    while words < 17 {
        let word = window.le64(at + length);
        let more = swar::length(swar::mask_before(swar::below(word, 0x21)));
        length += more;
        if more < 8 {
            break;
        }
        words += 1;
    }
    length
}

/// Which command it is; begins the hash.
#[inline(always)]
fn take_name(scratch: &mut Scratch, name: u32, length: u32, keys: [u64; 2]) -> Command {
    let first = capitals(&mut scratch.window, name, length);
    let mut hash = mix(keys[1] ^ SEED, first, length, keys[0]);
    if length <= 8 {
        scratch.head.hash = hash;
        return command::command(first, 0, length);
    }
    let rest = capitals(&mut scratch.window, name + 8, length - 8);
    hash = mix(hash, rest, 8, keys[0]);
    if length > 16 {
        let last = capitals(&mut scratch.window, name + 16, length - 16);
        hash = mix(hash, last, 8, keys[0]);
    }
    scratch.head.hash = hash;
    command::command(first, rest, if length > 16 { 0 } else { length })
}

/// Up to eight of `length` bytes, in capitals.
#[inline(always)]
pub fn capitals(window: &mut Window, at: u32, length: u32) -> u64 {
    let word = window.le64(at) & UPPER;
    if length < 8 {
        word & ((1 << (length * 8)) - 1)
    } else {
        word
    }
}

/// Looks at the arguments that matter: [`TAKEN`], unless some of them are not there.
#[inline(always)]
fn look(scratch: &mut Scratch, command: Command, end: u32, key: u64) -> u32 {
    // The common case in one go.
    if scratch.head.line_end == 0 && command.is_of_first_key() {
        let at = scratch.head.end;
        return match bulk(&mut scratch.window, at, end) {
            Ok(argument) => take_key(scratch, argument, end),
            Err(answer) => answer,
        };
    }
    arguments::look(scratch, command, end, key)
}

/// The key is this argument.
#[inline(always)]
pub fn take_key(scratch: &mut Scratch, argument: Span, end: u32) -> u32 {
    let shown = if argument.length > pattern::LONGEST {
        pattern::LONGEST + 1
    } else {
        argument.length
    };
    if argument.start + shown > end {
        return MORE;
    }
    let head = &mut scratch.head;
    head.key = argument;
    head.text_end = argument.start + shown;
    head.end = argument.start + argument.length + 2;
    head.arguments -= 1;
    TAKEN
}
