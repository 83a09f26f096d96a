//! By which keys a statement picks its rows: keyed hashes of its literals or bind values, never the values.
//!
//! Userspace learns from a statement's grammar which of its literals or parameters is the key of a table and hands down a
//! [`Plan`]. Statements without one pay a look at one cache line. With one, a second pass over the text takes out the key's
//! literals. It counts literals as the fingerprint does (a list is one), so that equal fingerprints mean equal plans.
//!
//! One value has one hash, whether it comes as `5`, `'5'`, or bound as text or binary integer.

use crate::{
    fingerprint::{Mode, is_separator, is_word},
    scratch::Scratch,
};
#[cfg(not(target_arch = "bpf"))]
pub use groups::{Literal, groups};
pub use literals::literals;
#[cfg(floor)]
pub use literals::literals_turn;
pub use parameters::parameters;
#[cfg(floor)]
pub use parameters::parameters_turn;
pub use plan::{BUCKETS, Bucket, NONE, PLANS, Plan, bucket};
use value::Value;
pub use value::integer;

#[cfg(not(target_arch = "bpf"))]
mod groups;
mod literals;
mod parameters;
mod plan;
#[cfg(test)]
mod tests;
mod value;

/// One key, or what a walk moves on by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Keyed hash; zero where there is none.
    pub hash: u64,
    /// For comparing with the one before, never for leaving the kernel: the number, or the text's first bytes.
    pub order: u64,
    /// `KEYS_*`.
    pub flags: u8,
}

/// [`Pick`]: the first of its statement's execution.
pub const KEYS_FIRST: u8 = 1;
/// [`Pick`]: `hash` is that of a key.
pub const KEYS_KEY: u8 = 2;
/// [`Pick`]: a walk moves on by it; no key.
pub const KEYS_BOUND: u8 = 4;
/// [`Pick`]: not all keys could be read (the text or message was cut).
pub const KEYS_CUT: u8 = 8;

/// How far a statement of a connection has walked: what came last, and how often it rose, or fell, in a row.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// See [`Pick::order`].
    pub last: u64,
    /// Times in a row that it rose.
    pub up: u32,
    /// Times in a row that it fell.
    pub down: u32,
}

impl Walked {
    /// Takes the next one in; how long the run is.
    #[inline(always)]
    pub fn next(&mut self, order: u64) -> u8 {
        if order > self.last {
            self.up += 1;
            self.down = 0;
        } else if order < self.last {
            self.down += 1;
            self.up = 0;
        }
        self.last = order;
        let run = if self.up > self.down {
            self.up
        } else {
            self.down
        };
        if run > 255 { 255 } else { run as u8 }
    }
}

/// Where picks go.
pub trait Picker {
    /// Working memory.
    fn scratch(&mut self) -> &mut Scratch;
    /// Hands one on.
    fn picked(&mut self, pick: Pick);
}

/// What is done with the literal at hand.
const PASS: u8 = 0;
const KEY: u8 = 1;
const BOUND: u8 = 2;

/// Where a pass is. Lives in [`Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Keyer {
    keys: [u64; 2],
    /// Connection.
    pub connection: u64,
    /// Statement.
    pub fingerprint: u64,
    value: Value,
    /// Code since the last literal, as far as it may be a list's separator.
    gap: u64,
    gap_length: u32,
    position: u32,
    /// Where the text or message begins.
    start: u32,
    end: u32,
    /// Literals so far, lists counted once; or parameters.
    index: u32,
    /// Key's first and last place.
    from: u32,
    to: u32,
    bound: u32,
    /// Bind: parameters in all, where their formats are, how many of these.
    count: u32,
    formats: u32,
    formats_count: u32,
    /// Bind: bytes of the value that are not hashed yet.
    rest: u32,
    mode: Mode,
    /// What is done with the value at hand.
    use_of: u8,
    in_word: bool,
    /// Between the double quotes of a name.
    in_name: bool,
    in_list: bool,
    /// Something was handed on.
    any: bool,
    /// The end was reached.
    done: bool,
}

impl Keyer {
    #[inline(always)]
    fn begin(&mut self, start: u32, end: u32, keys: [u64; 2]) {
        self.keys = keys;
        self.position = start;
        self.start = start;
        self.end = end;
        self.index = 0;
        self.gap = 0;
        self.gap_length = 0;
        self.rest = 0;
        self.mode = Mode::Code;
        self.use_of = PASS;
        self.in_word = false;
        self.in_name = false;
        self.in_list = false;
        self.any = false;
        self.done = false;
    }

    /// The value at hand is whole: what is handed on.
    #[inline(always)]
    fn value_ends(&mut self) -> Pick {
        let (hash, order) = self.value.finish(self.keys);
        self.pick(hash, order)
    }

    #[inline(always)]
    fn pick(&mut self, hash: u64, order: u64) -> Pick {
        let first = if self.any { 0 } else { KEYS_FIRST };
        self.any = true;
        let key = self.use_of == KEY;
        self.use_of = PASS;
        Pick {
            hash: if key { hash } else { 0 },
            order,
            flags: first | if key { KEYS_KEY } else { KEYS_BOUND },
        }
    }

    /// Takes code into what may be a separator.
    #[inline(always)]
    fn code(&mut self, byte: u8) {
        if self.gap_length < 7 {
            self.gap |= u64::from(byte) << ((self.gap_length & 7) * 8);
            self.gap_length += 1;
        }
        self.in_word = is_word(byte) || byte == b'$' && self.in_word;
    }

    /// May the code since the last literal stand between two of a list?
    #[inline(always)]
    fn gap_ends(&mut self) {
        let gap = self.gap;
        if self.gap_length > 0 && !is_separator(gap) {
            self.in_list = false;
        }
        self.gap = 0;
        self.gap_length = 0;
    }

    /// A literal begins; `param`: it is a `$1`.
    #[inline(always)]
    fn literal(&mut self, param: bool) {
        self.gap_ends();
        if !self.in_list {
            self.index += 1;
            self.in_list = true;
        }
        self.in_word = false;
        let at = self.index - 1;
        self.use_of = if param {
            PASS
        } else if at == self.from {
            KEY
        } else if at == self.bound {
            BOUND
        } else {
            PASS
        };
        if self.use_of != PASS {
            let keys = self.keys;
            self.value.begin(keys);
        }
        self.done = at > self.to;
    }
}

#[inline(always)]
fn last_of(group: u8, bound: u8) -> u32 {
    if bound != NONE && (group == NONE || bound > group) {
        u32::from(bound)
    } else {
        u32::from(group)
    }
}

#[inline(always)]
fn cut<P: Picker>(picker: &mut P) {
    let keyer = &mut picker.scratch().keyer;
    let first = if keyer.any { 0 } else { KEYS_FIRST };
    keyer.any = true;
    picker.picked(Pick {
        hash: 0,
        order: 0,
        flags: first | KEYS_CUT,
    });
}
