//! The second pass over a text: its literals.

use super::{Keyer, Mode, PASS, Picker, cut, last_of, plan::Plan};
use crate::{
    bytes::Window,
    fingerprint::{CAPTURE, before, is_dollar_quote, is_escape, is_sign, is_word},
    loops::{Step, repeat},
    scratch::Scratch,
};

pub struct Literals<'a, P> {
    pub picker: &'a mut P,
}

/// Bytes looked at by one step.
const RUN: u32 = 4;

impl<P: Picker> Step for Literals<'_, P> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let mut taken = 0;
        while taken < RUN {
            if !self.byte() {
                return false;
            }
            taken += 1;
        }
        true
    }

    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        // SAFETY: finds what this step has in maps.
        unsafe { crate::loops::turns::turn_literals() != 0 }
    }
}

/// Some steps of [`literals`].
#[cfg(floor)]
#[inline(always)]
pub fn literals_turn<P: Picker>(picker: &mut P) -> bool {
    Literals { picker }.step()
}

impl<P: Picker> Literals<'_, P> {
    #[inline(always)]
    pub fn byte(&mut self) -> bool {
        crate::bytes::barrier();
        let Scratch { keyer, window, .. } = self.picker.scratch();
        if keyer.done {
            return false;
        }
        let position = keyer.position;
        let over = position >= keyer.end;
        let byte = if over { 0 } else { window.byte(position) };
        let next = window.byte(position + 1);
        let next = if position + 1 >= keyer.end { 0 } else { next };
        match keyer.mode {
            Mode::Code => {
                keyer.done = over || byte == 0;
                if keyer.done {
                    return false;
                }
                code(keyer, window, byte, next);
                return true;
            }
            Mode::Number => {
                if byte.is_ascii_digit() {
                    keyer.value.push(byte);
                    keyer.position = position + 1;
                    return true;
                }
                keyer.mode = Mode::Code;
            }
            Mode::Quote | Mode::EscapeQuote => {
                if over || byte == 0 {
                    // Cut in the middle of a value: that is none.
                    keyer.done = true;
                    return false;
                }
                keyer.position = position + 1;
                if byte == b'\'' && next != b'\'' {
                    keyer.mode = Mode::Code;
                } else {
                    keyer.value.push(byte);
                    if byte == b'\'' {
                        keyer.mode = Mode::Quote;
                        keyer.position = position + 2;
                    } else if byte == b'\\' && keyer.mode == Mode::EscapeQuote {
                        keyer.value.push(next);
                        keyer.position = position + 2;
                    }
                    return true;
                }
            }
            Mode::BlockComment => {
                // One in another: see the fingerprint.
                keyer.done = over || byte == 0 || byte == b'/' && next == b'*';
                let ends = byte == b'*' && next == b'/';
                keyer.position = position + 1 + u32::from(ends);
                if ends {
                    keyer.mode = Mode::Code;
                }
                return true;
            }
            Mode::LineComment => {
                keyer.done = over || byte == 0;
                if byte == b'\n' {
                    // Hashed as code, as the fingerprint does.
                    keyer.mode = Mode::Code;
                    return true;
                }
                keyer.position = position + 1;
                return true;
            }
            // MySQL's, of whose statements no keys are taken.
            Mode::DoubleQuote | Mode::Backtick | Mode::Doubtful | Mode::Raw => {
                keyer.done = true;
                return false;
            }
        }
        // A literal is over.
        if keyer.use_of != PASS {
            let pick = keyer.value_ends();
            self.picker.picked(pick);
        }
        true
    }
}

#[inline(always)]
fn code(keyer: &mut Keyer, window: &mut Window, byte: u8, next: u8) {
    let position = keyer.position;
    if byte == b'"' || keyer.in_name {
        keyer.in_name ^= byte == b'"';
        keyer.code(byte);
        keyer.position = position + 1;
    } else if byte == b'$' && is_dollar_quote(keyer.in_word, next) {
        // Literals end where nobody has looked: none that follows is told.
        keyer.done = true;
    } else if byte.is_ascii_digit() && !keyer.in_word {
        keyer.literal(false);
        keyer.mode = Mode::Number;
    } else if byte == b'\'' {
        let escape = keyer.in_word && is_escape(before(window, keyer.start, position));
        keyer.literal(false);
        keyer.mode = if escape {
            Mode::EscapeQuote
        } else {
            Mode::Quote
        };
        keyer.position = position + 1;
    } else if byte == b'$' && next.is_ascii_digit() && !keyer.in_word {
        keyer.literal(true);
        keyer.mode = Mode::Number;
        keyer.position = position + 1;
    } else if byte == b'/' && next == b'*' {
        keyer.gap_ends();
        keyer.mode = Mode::BlockComment;
        keyer.position = position + 2;
    } else if byte == b'-' && next == b'-' {
        keyer.gap_ends();
        keyer.mode = Mode::LineComment;
        keyer.position = position + 2;
    } else if byte == b'-' && is_sign(before(window, keyer.start, position), next) {
        keyer.literal(false);
        if keyer.use_of != PASS {
            keyer.value.push(byte);
        }
        keyer.mode = Mode::Number;
        keyer.position = position + 1;
    } else {
        keyer.code(byte);
        keyer.position = position + 1;
    }
}

/// Steps that a text of [`CAPTURE`] bytes takes at the most: a change of mode takes one without a byte.
const LITERAL_STEPS: u32 = CAPTURE * 2 / RUN;

/// Picks the keys among the literals of the text from `start` to `end` (or its NUL).
#[inline(always)]
pub fn literals<P: Picker>(picker: &mut P, plan: u64, start: u32, end: u32, keys: [u64; 2]) {
    let plan = Plan::unpack(plan);
    let Scratch { keyer, window, .. } = picker.scratch();
    let first = start + u32::from(plan.start);
    keyer.begin(first, end, keys);
    keyer.start = start;
    keyer.from = u32::from(plan.group);
    keyer.bound = u32::from(plan.bound_group);
    keyer.to = last_of(plan.group, plan.bound_group);
    keyer.in_word = plan.start > 0 && is_word(window.byte(first - 1));
    repeat(LITERAL_STEPS, &mut Literals { picker });
    // Cut before its end, there may have been more.
    let keyer = &mut picker.scratch().keyer;
    if !keyer.done || keyer.mode != Mode::Code && keyer.use_of != PASS {
        cut(picker);
    }
}
