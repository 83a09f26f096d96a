//! Which literals or parameters of a statement are keys, as userspace found by its grammar.

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
