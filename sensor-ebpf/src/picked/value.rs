//! A value's keyed hash.

/// A value that is being hashed: SipHash-1-3, of the bytes and, as they may be one, of the number.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Value {
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
    pub fn begin(&mut self, keys: [u64; 2]) {
        self.state = start(keys);
        self.word = 0;
        self.head = 0;
        self.number = 0;
        self.length = 0;
        self.numeric = true;
    }

    #[inline(always)]
    pub fn push(&mut self, byte: u8) {
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
    pub fn finish(&mut self, keys: [u64; 2]) -> (u64, u64) {
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
