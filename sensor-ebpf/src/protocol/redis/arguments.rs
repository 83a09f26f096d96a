//! Requests of which more than the first argument matters.

use super::{
    command::{BEHIND_MATCH, BEHIND_STREAMS, Command, DATA_OF_SERVER, Kind},
    head::{
        BLANKS, Head, LOOKED_AT, MORE, NONE, OFF, ON, SILENT, SKIP, Span, TAKEN, blanks, bulk,
        capitals, line_ends, take_key, token,
    },
};
use crate::{
    fingerprint::mix,
    loops::{Step, repeat},
    scratch::Scratch,
};

/// Where the pass over arguments is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// How many have been looked at.
    index: u32,
    /// How many are to be.
    last: u32,
    /// Which one is the key, zero for none.
    key: u32,
    /// Which one is a user.
    user: u32,
    /// Which one is the connection's name.
    name: u32,
    /// Up to this one they are values, whatever they say.
    values: u32,
    answer: u32,
}

/// What comes behind `CLIENT REPLY` has not come.
const EXPECTED: u8 = 255;

const fn word(text: &[u8]) -> u64 {
    let mut word = 0;
    let mut i = 0;
    while i < text.len() {
        word |= (text[i] as u64) << (i * 8);
        i += 1;
    }
    word
}

const MATCH: u64 = word(b"MATCH");
const STREAMS: u64 = word(b"STREAMS");
const AUTH: u64 = word(b"AUTH");
const SETNAME: u64 = word(b"SETNAME");
const REPLY: u64 = word(b"REPLY");
const ACK: u64 = word(b"ACK");
const GETACK: u64 = word(b"GETACK");
/// What it begins with, as nothing else does.
const GETKEYSINSLOT: u64 = word(b"GETKEYSI");

/// Looks at as many arguments as matter. [`TAKEN`] when all of them are at hand.
#[inline(always)]
pub fn look(scratch: &mut Scratch, command: Command, end: u32, key: u64) -> u32 {
    let kind = command.kind();
    let head = &mut scratch.head;
    let inline = head.line_end != 0;
    let logs_in = kind == Kind::Auth as u8 || kind == Kind::Hello as u8;
    // A password alone is that of the user by default.
    let user = if kind == Kind::Auth as u8 && (inline || head.arguments == 2) {
        1
    } else {
        0
    };
    let last = if kind == Kind::Auth as u8 {
        if inline { 2 } else { user }
    } else if kind == Kind::Hello as u8 || command.key() >= BEHIND_MATCH {
        LOOKED_AT
    } else if command.key() > command.shown() {
        command.key()
    } else {
        command.shown()
    };
    head.at = head.end;
    head.pass = State {
        index: 0,
        last,
        key: command.key(),
        user,
        name: 0,
        values: 1,
        answer: TAKEN,
    };
    let mut pass = Pass {
        scratch: &mut *scratch,
        command,
        end,
        key,
    };
    repeat(LOOKED_AT + 1, &mut pass);
    let at = scratch.head.at;
    let whole = !inline || line_ends(&mut scratch.window, at);
    let head = &mut scratch.head;
    if logs_in {
        head.doubtful |= head.pass.answer != TAKEN || !whole;
        // Behind those that were looked at it may say anything.
        head.doubtful |= kind == Kind::Hello as u8 && !inline && head.arguments > 0;
        // Of a line, only now it is known that another argument followed.
        if kind == Kind::Auth as u8 && inline && head.pass.index < 2 {
            head.user = NONE;
        }
    }
    head.pass.answer
}

struct Pass<'a> {
    scratch: &'a mut Scratch,
    command: Command,
    end: u32,
    key: u64,
}

impl Step for Pass<'_> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let State { index, last, .. } = self.scratch.head.pass;
        if index >= last || self.scratch.head.arguments == 0 {
            return false;
        }
        let argument = if self.scratch.head.line_end != 0 {
            match self.word() {
                Some(argument) => argument,
                None => return false,
            }
        } else {
            let at = self.scratch.head.at;
            match bulk(&mut self.scratch.window, at, self.end) {
                Ok(argument) => argument,
                Err(answer) => {
                    self.scratch.head.pass.answer = answer;
                    return false;
                }
            }
        };
        let index = index + 1;
        self.scratch.head.pass.index = index;
        if index == self.scratch.head.pass.key {
            self.scratch.head.pass.answer = take_key(self.scratch, argument, self.end);
            return false;
        }
        let behind = argument.start + argument.length + 2;
        if self.scratch.head.line_end == 0 {
            if behind > self.end {
                self.scratch.head.pass.answer = MORE;
                return false;
            }
            let head = &mut self.scratch.head;
            head.at = behind;
            head.end = behind;
            head.arguments -= 1;
        }
        self.argument(index, argument);
        true
    }
}

impl Pass<'_> {
    /// The next of a line.
    #[inline(always)]
    fn word(&mut self) -> Option<Span> {
        let at = self.scratch.head.at;
        let blanks = blanks(&mut self.scratch.window, at);
        if blanks == 0 {
            return None;
        }
        let start = at + blanks;
        let length = token(&mut self.scratch.window, start);
        let first = self.scratch.window.byte(start);
        if first == b'"' || first == b'\'' {
            // What it says is not taken apart.
            self.scratch.head.doubtful = true;
            return None;
        }
        if length == 0 || start + length >= self.end {
            // Behind so many blanks it may be any.
            self.scratch.head.doubtful |= blanks == BLANKS;
            return None;
        }
        self.scratch.head.at = start + length;
        Some(Span { start, length })
    }

    #[inline(always)]
    fn argument(&mut self, index: u32, argument: Span) {
        let Span { start, length } = argument;
        let command = self.command;
        let kind = command.kind();
        let word = if length <= 8 {
            capitals(&mut self.scratch.window, start, length)
        } else {
            0
        };
        if index <= command.shown() {
            self.scratch.head.text_end = start + length;
        }
        if index == 1 && command.is_named() {
            self.named(argument, word);
        }
        let State {
            key,
            user,
            name,
            values,
            ..
        } = self.scratch.head.pass;
        let sought = if key == BEHIND_MATCH {
            MATCH
        } else if key == BEHIND_STREAMS {
            STREAMS
        } else {
            0
        };
        let first = self.scratch.window.byte(start);
        let pass = &mut self.scratch.head.pass;
        if sought != 0 && word == sought {
            pass.key = index + 1;
            pass.last = index + 1;
        } else if command.is_counted() && index + 1 == key && (length == 0 || first == b'0') {
            // No keys: what follows are values.
            pass.key = 0;
            pass.last = index;
        }
        if index == user {
            self.scratch.head.user = argument;
        } else if index == name {
            self.scratch.head.name = argument;
            if kind == Kind::Client as u8 {
                self.reply(word);
            }
        } else if kind == Kind::Hello as u8 && index > values {
            if word == AUTH {
                // Of two the server may take the first, and refuse the second.
                let twice = pass.user != 0;
                pass.user = index + 1;
                pass.values = index + 2;
                self.scratch.head.doubtful |= twice;
            } else if word == SETNAME {
                pass.name = index + 1;
                pass.values = index + 1;
            }
        }
    }

    /// The first argument is a part of the name.
    #[inline(always)]
    fn named(&mut self, argument: Span, word: u64) {
        let Span { start, length } = argument;
        let first = capitals(&mut self.scratch.window, start, length);
        let rest = if length > 8 {
            capitals(&mut self.scratch.window, start + 8, length - 8)
        } else {
            0
        };
        let head = &mut self.scratch.head;
        let hash = mix(head.hash, first, length, self.key);
        head.hash = mix(hash, rest, 8, self.key);
        let kind = self.command.kind();
        if kind == Kind::Quiet as u8 && first == GETKEYSINSLOT {
            // Of all that says something of the server it alone names keys.
            head.command = DATA_OF_SERVER.0;
        }
        if kind == Kind::Client as u8 && (word == SETNAME || word == REPLY) {
            head.pass.last = 2;
            head.pass.name = 2;
            head.reply = if word == REPLY { EXPECTED } else { 0 };
        } else if kind == Kind::Replconf as u8 && (word == ACK || word == GETACK) {
            head.reply = SILENT;
        }
    }

    /// What comes behind `CLIENT REPLY`, or `CLIENT SETNAME`.
    #[inline(always)]
    fn reply(&mut self, word: u64) {
        if self.scratch.head.reply == 0 {
            return;
        }
        // With anything more it is refused.
        let Head {
            line_end,
            at,
            arguments,
            ..
        } = self.scratch.head;
        let alone = if line_end != 0 {
            line_ends(&mut self.scratch.window, at)
        } else {
            arguments == 0
        };
        let head = &mut self.scratch.head;
        head.name = NONE;
        head.reply = if !alone {
            0
        } else if word == const { self::word(b"OFF") } {
            OFF
        } else if word == const { self::word(b"SKIP") } {
            SKIP
        } else if word == const { self::word(b"ON") } {
            ON
        } else {
            0
        };
    }
}
