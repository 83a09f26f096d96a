//! By which keys a statement picks its rows: keyed hashes of its literals or bind values, never the values.
//!
//! Userspace learns from a statement's grammar which of its literals or parameters is the key of a table and hands down a
//! [`Plan`]. Statements without one pay a look at one cache line. With one, a second pass over the text takes out the key's
//! literals. It counts literals as the fingerprint does (a list is one), so that equal fingerprints mean equal plans.
//!
//! One value has one hash, whether it comes as `5`, `'5'`, or bound as text or binary integer.

use crate::{
    bytes::Window,
    fingerprint::is_sign,
    loops::{Step, repeat},
    scratch::Scratch,
};

/// No literal, no parameter.
pub const NONE: u8 = 0xff;

/// Which literals or parameters of a statement are keys; packed into one word, see [`Plan::pack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The key's place among the statement's literals, lists counted once; [`NONE`].
    pub group: u8,
    /// Likewise, of what a walk moves on by: an `OFFSET`, or the bound of `key > …`.
    pub bound_group: u8,
    /// Bytes of the text in front of its first literal, equal for all texts of the fingerprint.
    pub start: u16,
    /// First parameter that is a key, from zero; [`NONE`].
    pub param: u8,
    /// Parameters behind the last that is a key.
    pub tail: u8,
    /// Parameter that a walk moves on by; [`NONE`].
    pub bound_param: u8,
    /// The key stands in a list (`IN`): any number of values.
    pub list: bool,
}

impl Plan {
    /// Picks nothing.
    pub const EMPTY: Self = Self {
        group: NONE,
        bound_group: NONE,
        start: 0,
        param: NONE,
        tail: 0,
        bound_param: NONE,
        list: false,
    };

    /// As one word, never zero.
    #[inline(always)]
    pub fn pack(self) -> u64 {
        let start = self.start.to_le_bytes();
        u64::from_le_bytes([
            self.group,
            self.bound_group,
            start[0],
            start[1],
            self.param,
            self.tail,
            self.bound_param,
            u8::from(self.list) | 2,
        ])
    }

    /// Back from a word.
    #[inline(always)]
    pub fn unpack(word: u64) -> Self {
        Self {
            group: word as u8,
            bound_group: (word >> 8) as u8,
            start: (word >> 16) as u16,
            param: (word >> 32) as u8,
            tail: (word >> 40) as u8,
            bound_param: (word >> 48) as u8,
            list: word >> 56 & 1 != 0,
        }
    }
}

/// Plans of fingerprints that share a place: one cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Fingerprint and packed plan; zero: free.
    pub plans: [[u64; 2]; PLANS],
}

/// Plans in a [`Bucket`].
pub const PLANS: usize = 4;
/// Buckets; a power of two.
pub const BUCKETS: u32 = 4096;

/// The bucket of a fingerprint.
#[inline(always)]
pub fn bucket(fingerprint: u64) -> u32 {
    (fingerprint >> 12) as u32 & (BUCKETS - 1)
}

impl Bucket {
    /// The packed plan of a fingerprint, zero for none.
    #[inline(always)]
    pub fn find(&self, fingerprint: u64) -> u64 {
        let [a, b, c, d] = &self.plans;
        if a[0] == fingerprint {
            a[1]
        } else if b[0] == fingerprint {
            b[1]
        } else if c[0] == fingerprint {
            c[1]
        } else if d[0] == fingerprint {
            d[1]
        } else {
            0
        }
    }
}

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

/// A value that is being hashed: SipHash-1-3, of the bytes and, as they may be one, of the number.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Value {
    state: [u64; 4],
    /// Bytes that fill no word yet.
    word: u64,
    /// The first eight bytes.
    head: u64,
    number: u64,
    length: u32,
    /// Decimal digits only, as an integer is written.
    numeric: bool,
}

/// Longest decimal number that is taken for an integer: it fits.
const DIGITS: u32 = 18;

impl Value {
    #[inline(always)]
    fn begin(&mut self, keys: [u64; 2]) {
        self.state = start(keys);
        self.word = 0;
        self.head = 0;
        self.number = 0;
        self.length = 0;
        self.numeric = true;
    }

    #[inline(always)]
    fn push(&mut self, byte: u8) {
        let digit = byte.wrapping_sub(b'0');
        // As an integer is written: no zero in front of others.
        if digit > 9 || self.length > 0 && self.number == 0 {
            self.numeric = false;
        }
        if self.numeric {
            self.number = self.number.wrapping_mul(10).wrapping_add(u64::from(digit));
        }
        self.word |= u64::from(byte) << ((self.length & 7) * 8);
        self.length += 1;
        if self.length == 8 {
            self.head = self.word;
        }
        if self.length & 7 == 0 {
            compress(&mut self.state, self.word);
            self.word = 0;
        }
    }

    /// Hash and order.
    #[inline(always)]
    fn finish(&mut self, keys: [u64; 2]) -> (u64, u64) {
        if self.numeric && self.length > 0 && self.length <= DIGITS {
            return (integer(keys, self.number), self.number);
        }
        let head = if self.length < 8 {
            self.word
        } else {
            self.head
        };
        let last = self.word | u64::from(self.length) << 56;
        (finish(&mut self.state, last), head.swap_bytes())
    }
}

/// Hash of an integer.
#[inline(always)]
pub fn integer(keys: [u64; 2], number: u64) -> u64 {
    let mut state = start(keys);
    compress(&mut state, number);
    // No text is as long as that.
    finish(&mut state, 0xff << 56)
}

#[inline(always)]
fn start(keys: [u64; 2]) -> [u64; 4] {
    [
        keys[0] ^ 0x736f_6d65_7073_6575,
        keys[1] ^ 0x646f_7261_6e64_6f6d,
        keys[0] ^ 0x6c79_6765_6e65_7261,
        keys[1] ^ 0x7465_6462_7974_6573,
    ]
}

#[inline(always)]
fn compress(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

#[inline(always)]
fn finish(state: &mut [u64; 4], last: u64) -> u64 {
    compress(state, last);
    state[2] ^= 0xff;
    round(state);
    round(state);
    round(state);
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    Code = 0,
    Number,
    Quote,
    EscapeQuote,
    BlockComment,
    LineComment,
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
        self.end = end;
        self.index = 0;
        self.gap = 0;
        self.gap_length = 0;
        self.rest = 0;
        self.mode = Mode::Code;
        self.use_of = PASS;
        self.in_word = false;
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
        if self.gap_length > 0
            && gap != COMMA
            && gap != COMMA_SPACE
            && gap != TUPLE
            && gap != TUPLE_SPACE
        {
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

const COMMA: u64 = b',' as u64;
const COMMA_SPACE: u64 = u64::from_le_bytes(*b", \0\0\0\0\0\0");
const TUPLE: u64 = u64::from_le_bytes(*b"),(\0\0\0\0\0");
const TUPLE_SPACE: u64 = u64::from_le_bytes(*b"), (\0\0\0\0");

#[inline(always)]
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

struct Literals<'a, P> {
    picker: &'a mut P,
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

/// Some steps of [`parameters`].
#[cfg(floor)]
#[inline(always)]
pub fn parameters_turn<P: Picker>(picker: &mut P) -> bool {
    let mut bound = Bound { picker };
    let mut taken = 0;
    while taken < crate::loops::STEPS {
        if !bound.step() {
            return false;
        }
        crate::bytes::barrier();
        taken += 1;
    }
    true
}

impl<P: Picker> Literals<'_, P> {
    #[inline(always)]
    fn byte(&mut self) -> bool {
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
                keyer.done = over || byte == 0;
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
    if byte.is_ascii_digit() && !keyer.in_word {
        keyer.literal(false);
        keyer.mode = Mode::Number;
    } else if byte == b'\'' {
        let escape = keyer.in_word && window.byte(position - 1) | 0x20 == b'e';
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
    } else if byte == b'-' && is_sign(window, position, next) {
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

/// Steps that a text of [`crate::fingerprint::CAPTURE`] bytes takes at the most: a change of mode takes one without a byte.
const LITERAL_STEPS: u32 = crate::fingerprint::CAPTURE * 2 / RUN;

/// Picks the keys among the literals of the text from `start` to `end` (or its NUL).
#[inline(always)]
pub fn literals<P: Picker>(picker: &mut P, plan: u64, start: u32, end: u32, keys: [u64; 2]) {
    let plan = Plan::unpack(plan);
    let Scratch { keyer, window, .. } = picker.scratch();
    let first = start + u32::from(plan.start);
    keyer.begin(first, end, keys);
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

struct Bound<'a, P> {
    picker: &'a mut P,
}

/// Parameters, and words of values, that one message may bring: beyond, it is cut.
#[cfg(not(floor))]
const BIND_STEPS: u32 = 8192;
#[cfg(floor)]
const BIND_STEPS: u32 = 8192 / crate::loops::STEPS;

/// Picks the keys among the parameters of a `Bind`, whose formats begin at `start`.
#[inline(always)]
pub fn parameters<P: Picker>(picker: &mut P, plan: u64, start: u32, end: u32, keys: [u64; 2]) {
    let plan = Plan::unpack(plan);
    let Scratch { keyer, window, .. } = picker.scratch();
    let formats = window.be32(start) >> 16;
    let counted = start + 2 + formats * 2;
    keyer.begin(counted + 2, end, keys);
    keyer.formats = start + 2;
    keyer.formats_count = formats;
    keyer.count = window.be32(counted) >> 16;
    let behind = u32::from(plan.tail);
    keyer.from = u32::from(plan.param);
    keyer.to = keyer.count.wrapping_sub(behind);
    keyer.bound = u32::from(plan.bound_param);
    let keys_are_there = keyer.to > keyer.from && keyer.to <= keyer.count;
    if plan.param == NONE || !keys_are_there || !plan.list && keyer.to != keyer.from + 1 {
        // Written in another way than what was learnt from.
        keyer.from = 1;
        keyer.to = 0;
    }
    if counted + 2 <= end {
        repeat(BIND_STEPS, &mut Bound { picker });
    }
    let keyer = &mut picker.scratch().keyer;
    // Without parameters the keys stood in the text.
    if !keyer.done || !keyer.any && keyer.count > 0 {
        cut(picker);
    }
}

impl<P: Picker> Step for Bound<'_, P> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Scratch { keyer, window, .. } = self.picker.scratch();
        let position = keyer.position;
        if keyer.rest > 0 {
            if position >= keyer.end {
                return false;
            }
            keyer.value.push(window.byte(position));
            keyer.position = position + 1;
            keyer.rest -= 1;
            if keyer.rest == 0 {
                let pick = keyer.value_ends();
                self.picker.picked(pick);
            }
            return true;
        }
        let at = keyer.index;
        if at >= keyer.count {
            keyer.done = true;
            return false;
        }
        if position + 4 > keyer.end {
            return false;
        }
        let length = window.be32(position);
        keyer.index = at + 1;
        keyer.position = position + 4;
        if length > i32::MAX as u32 || length == 0 {
            // NULL, or nothing.
            return true;
        }
        keyer.use_of = if at >= keyer.from && at < keyer.to {
            KEY
        } else if at == keyer.bound {
            BOUND
        } else {
            keyer.position = position + 4 + length;
            return keyer.position <= keyer.end;
        };
        if position + 4 + length > keyer.end {
            return false;
        }
        let format = if keyer.formats_count == 0 {
            0
        } else {
            let place = if keyer.formats_count == 1 { 0 } else { at };
            window.be32(keyer.formats + place * 2) >> 16
        };
        if format == 1 && (length == 2 || length == 4 || length == 8) {
            let number = be64(window, position + 4) >> ((64 - length * 8) & 63);
            keyer.position = position + 4 + length;
            let keys = keyer.keys;
            let hash = integer(keys, number);
            let pick = keyer.pick(hash, number);
            self.picker.picked(pick);
            return true;
        }
        let keys = keyer.keys;
        keyer.value.begin(keys);
        keyer.rest = length;
        true
    }

    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        // SAFETY: finds what this step has in maps.
        unsafe { crate::loops::turns::turn_parameters() != 0 }
    }
}

#[inline(always)]
fn be64(window: &mut Window, position: u32) -> u64 {
    window.le64(position).swap_bytes()
}

/// The literals of a text as the kernel counts them: for each its group, its bytes, and whether it is a parameter's name.
/// For userspace, which makes plans.
#[cfg(not(target_arch = "bpf"))]
pub fn groups(text: &[u8]) -> Vec<Literal> {
    let mut scratch = Scratch::boxed();
    let length = text.len().min(crate::fingerprint::CAPTURE as usize);
    for (i, byte) in text[..length].iter().enumerate() {
        scratch.window.set(crate::bytes::BASE + i as u32, *byte);
    }
    let end = crate::bytes::BASE + length as u32;
    scratch.keyer.begin(crate::bytes::BASE, end, [0; 2]);
    scratch.keyer.from = u32::MAX;
    scratch.keyer.bound = u32::MAX;
    scratch.keyer.to = u32::MAX;
    struct Nobody(Box<Scratch>);
    impl Picker for Nobody {
        fn scratch(&mut self) -> &mut Scratch {
            &mut self.0
        }
        fn picked(&mut self, _: Pick) {}
    }
    let mut found: Vec<Literal> = Vec::new();
    let mut nobody = Nobody(scratch);
    let mut comment = false;
    loop {
        let before = nobody.0.keyer;
        if !(Literals {
            picker: &mut nobody,
        })
        .byte()
        {
            break;
        }
        let after = &nobody.0.keyer;
        comment |= matches!(after.mode, Mode::BlockComment | Mode::LineComment);
        if before.mode == Mode::Code
            && matches!(after.mode, Mode::Number | Mode::Quote | Mode::EscapeQuote)
        {
            let start = before.position - crate::bytes::BASE;
            found.push(Literal {
                group: after.index - 1,
                start,
                parameter: text[start as usize] == b'$',
                behind_comment: comment,
            });
        }
    }
    found
}

/// See [`groups`].
#[cfg(not(target_arch = "bpf"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Place among the literals, lists counted once.
    pub group: u32,
    /// Byte of the text that it begins at.
    pub start: u32,
    /// It is a `$1`.
    pub parameter: bool,
    /// A comment stands before it, whose length differs from text to text.
    pub behind_comment: bool,
}

#[cfg(test)]
#[path = "picked/tests.rs"]
mod tests;
