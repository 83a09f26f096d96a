//! How an answer begins: whose it is, or what else the server says.

use super::{
    answer::{Answers, DONE, DONE_MASK, KIND},
    command::Kind,
    element::{MESSAGE, NEWS},
    follow::{Answer, FAILED, MONITORS, OUTERMOST, QUEUED, SUBSCRIBED, UNANSWERED},
    number::number,
};
use crate::{connection::Request, protocol::Surroundings};

impl<S: Surroundings> Answers<'_, S> {
    /// An answer begins, or something that nobody asked for by itself; `behind` its header, if it has one with a number. Zero when
    /// that needs more bytes.
    #[inline(never)]
    pub fn begin(&mut self, word: u64, behind: u32, position: u32, end: u32) -> u32 {
        let kind = word as u8;
        let mode = if self.c.is_suspect() && kind != b'>' {
            self.asked();
            Kind::Script as u8
        } else if kind == b'>' || kind == b'*' && self.may_be_message() {
            match self.message(kind, behind, position, end) {
                Some(mode) => mode,
                None => return 0,
            }
        } else if kind == b'+' && (self.c.marks(MONITORS) || self.c.outstanding == 0) {
            if end - position < 2 {
                return 0;
            }
            if (word >> 8) as u8 <= b'9' {
                MESSAGE
            } else {
                self.asked()
            }
        } else {
            if (kind == b'+' || kind == b'-') && self.changes() && !self.takes(word, end - position)
            {
                return 0;
            }
            self.asked()
        };
        if mode == Kind::Hello as u8 && kind == b'%' {
            self.c.unmark(SUBSCRIBED);
        }
        self.c.command = mode;
        self.c.unmark(FAILED);
        *self.c.answer() = Answer {
            pending: 1,
            upper: OUTERMOST,
        };
        self.c.counts().muted = 0;
        self.c.rows = 0;
        1
    }

    /// Does the front request change the connection, if it succeeds?
    #[inline(always)]
    fn changes(&mut self) -> bool {
        self.c.outstanding > 0
            && (self.c.front.link != 0 || self.c.front.limit > Kind::Client as u32)
    }

    /// Does the word say whether it did, or that it will be done? False when that needs more bytes.
    #[inline(always)]
    fn takes(&mut self, word: u64, available: u32) -> bool {
        self.c.unmark(QUEUED);
        if available >= 5 && word & DONE_MASK == DONE {
            return true;
        }
        if available < 8 {
            return false;
        }
        // `HELLO` may have taken the name before it found that something else was wrong.
        let halfway = word as u8 == b'-'
            && self.c.front.limit == Kind::Hello as u32
            && word != u64::from_le_bytes(*b"-WRONGPA");
        if halfway || word == u64::from_le_bytes(*b"+QUEUED\r") {
            self.c.mark(QUEUED);
            if self.c.front.limit > Kind::Hello as u32 {
                // What comes when it is done is no answer of its own, or more than one.
                self.c.suspect();
            }
        }
        true
    }

    /// The front request is answered. What nobody asked for is that of a statement that is not known: whatever it was that did not
    /// want an answer, or a stream that lost one.
    #[inline(always)]
    fn asked(&mut self) -> u8 {
        if self.c.outstanding == 0 {
            self.c.unmark(UNANSWERED);
            self.c.front = Request {
                started: self.s.now(),
                count: 1,
                ..Request::NONE
            };
            self.c.outstanding = 1;
        }
        self.c.front.limit as u8
    }

    /// May a list be a message? In the second version of the protocol it may where a subscription was confirmed by one, or will be, and
    /// where nothing was asked for.
    #[inline(always)]
    fn may_be_message(&mut self) -> bool {
        self.c.marks(SUBSCRIBED) || self.c.outstanding == 0 || self.is_subscribing()
    }

    /// Is the front request one that is confirmed by messages?
    #[inline(always)]
    fn is_subscribing(&mut self) -> bool {
        let asked = self.c.front.limit;
        self.c.outstanding > 0
            && (asked == Kind::Subscribe as u32 || asked == Kind::Unsubscribe as u32)
    }

    /// What kind of message it is; nothing when that needs more bytes.
    #[inline(always)]
    fn message(&mut self, kind: u8, behind: u32, position: u32, end: u32) -> Option<u8> {
        let is_push = kind == b'>';
        if is_push {
            // The third version of the protocol: no list is a message.
            self.c.unmark(SUBSCRIBED);
        }
        let ordinary = |answers: &mut Self| Some(if is_push { NEWS } else { answers.asked() });
        let long_enough = end - position >= KIND;
        // They have three parts, or four.
        let parts = (self.s.window().le64(position) >> 8) as u16;
        if parts != u16::from_le_bytes(*b"3\r") && parts != u16::from_le_bytes(*b"4\r") {
            return ordinary(self);
        }
        if behind >= end {
            return None;
        }
        if self.s.window().byte(behind) != b'$' {
            return ordinary(self);
        }
        let (length, start) = number(self.s.window(), behind + 1);
        let shown = if length < 8 { length as u32 } else { 8 };
        if start == 0 || start + shown > end {
            return if long_enough { ordinary(self) } else { None };
        }
        let word = self.s.window().le64(start);
        let word = if shown < 8 {
            word & ((1 << (shown * 8)) - 1)
        } else {
            word
        };
        const fn of(text: [u8; 8]) -> u64 {
            u64::from_le_bytes(text)
        }
        if word == const { of(*b"message\0") }
            || word == const { of(*b"pmessage") }
            || word == const { of(*b"smessage") }
        {
            if !is_push {
                self.c.mark(SUBSCRIBED);
            }
            return Some(MESSAGE);
        }
        let confirms = word == const { of(*b"subscrib") }
            || word == const { of(*b"psubscri") }
            || word == const { of(*b"ssubscri") }
            || word == const { of(*b"unsubscr") }
            || word == const { of(*b"punsubsc") }
            || word == const { of(*b"sunsubsc") };
        if !confirms {
            return ordinary(self);
        }
        if !self.is_subscribing() {
            return Some(NEWS);
        }
        let asked = self.c.front.limit as u8;
        if asked == Kind::Subscribe as u8 && !is_push {
            self.c.mark(SUBSCRIBED);
        }
        Some(asked)
    }
}
