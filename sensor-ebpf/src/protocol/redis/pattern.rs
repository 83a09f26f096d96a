//! The pattern of a key: what of it is structure and stays, and what varies and becomes `*`.
//!
//! A key is taken apart at `:` `.` `/` `|` `#` `{` `}` and `-`. A part of up to 24 letters and underscores stays, any other becomes
//! `*`, and what a `-` ties to such a part behind it does, too (UUIDs). When all parts would stay, nothing shows which of them
//! vary, so all but the first become `*`; of a key of a single part nothing stays. The kernel hashes a pattern, userspace writes it;
//! both by the rules in here.

use crate::{
    bytes::{Window, swar},
    fingerprint::mix,
    loops::{Step, repeat},
    scratch::Scratch,
};

/// Bytes of a key that are looked at; the rest is one `*`.
pub const LONGEST: u32 = 128;
/// Letters of a part that stays.
const LETTERS: u32 = 24;
/// Parts of a key; the rest is one `*`.
const PARTS: u32 = 16;

/// What stands for a part that varies.
const STAR: u8 = b'*';

/// Where the pass over a key is. Lives in [`Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Hash of the pattern with all its literal parts.
    all: u64,
    /// Likewise with the first alone.
    first: u64,
    position: u32,
    end: u32,
    /// How many there were.
    count: u32,
    /// The key goes on behind `end`.
    cut: bool,
    /// A part has become `*`.
    varies: bool,
    /// Up to the next border there is nothing but the `*` that was written: of `all`.
    passes: bool,
    /// Likewise of `first`.
    passes_first: bool,
}

/// Hash of the pattern of the key that begins at `start` of the window and is `length` bytes long, going on from `hash`.
#[inline(always)]
pub fn hash(scratch: &mut Scratch, start: u32, length: u32, hash: u64, key: u64) -> u64 {
    let cut = length > LONGEST;
    scratch.parts = Parts {
        all: hash,
        first: hash,
        position: start,
        end: start + if cut { LONGEST } else { length },
        count: 0,
        cut,
        varies: false,
        passes: false,
        passes_first: false,
    };
    let mut pass = Pass { scratch, key };
    // Nearly all keys in one go, or two: the loop costs more than a step. A step moves on by a byte at least.
    if pass.next() && pass.next() {
        repeat(LONGEST, &mut pass);
    }
    let parts = &pass.scratch.parts;
    if parts.varies {
        parts.all
    } else if parts.count == 1 {
        mix(hash, u64::from(STAR), 1, key)
    } else {
        parts.first
    }
}

struct Pass<'a> {
    scratch: &'a mut Scratch,
    key: u64,
}

impl Step for Pass<'_> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        self.next()
    }
}

impl Pass<'_> {
    /// A part that stays, or some of what does not.
    #[inline(never)]
    fn next(&mut self) -> bool {
        if !self.scratch.parts.passes && !self.part() {
            return false;
        }
        let mut words = 0;
        while words < 4 {
            if !self.scratch.parts.passes {
                return true;
            }
            if !self.pass_over() {
                return false;
            }
            words += 1;
        }
        true
    }

    /// A part, or its beginning when it does not stay; false behind the last.
    #[inline(always)]
    fn part(&mut self) -> bool {
        let Parts {
            all, position, end, ..
        } = self.scratch.parts;
        let mut hash = all;
        let mut at = position;
        let mut words = 0;
        while words < LETTERS / 8 {
            let (letters, word) = letters(&mut self.scratch.window, at, end);
            let mask = swar::mask_before(!letters & swar::HIGHS);
            let length = swar::length(mask);
            hash = mix(hash, word & mask, length, self.key);
            at += length;
            if length < 8 {
                break;
            }
            words += 1;
        }
        let ends = at >= end;
        let border = if ends {
            0
        } else {
            self.scratch.window.byte(at)
        };
        let parts = &mut self.scratch.parts;
        if ends && !parts.cut || is_border(border) && parts.count + 1 < PARTS {
            parts.all = hash;
            parts.count += 1;
            if parts.count == 1 {
                parts.first = hash;
            }
            if ends {
                self.first_varies();
                return false;
            }
            parts.position = at + 1;
            self.border(border);
            return true;
        }
        // It varies: what was hashed of it is forgotten.
        parts.all = mix(parts.all, u64::from(STAR), 1, self.key);
        parts.varies = true;
        parts.passes = true;
        parts.position = at;
        parts.count += 1;
        parts.count < PARTS && !ends
    }

    /// Eight bytes of what varies, or up to the border behind it; false at the key's end.
    #[inline(always)]
    fn pass_over(&mut self) -> bool {
        let Parts { position, end, .. } = self.scratch.parts;
        let word = self.scratch.window.le64(position);
        let mask = swar::mask_before(borders(word));
        let length = swar::length(mask);
        let at = position + length;
        if at >= end {
            return false;
        }
        self.scratch.parts.position = at;
        if length < 8 {
            self.scratch.parts.position = at + 1;
            let border = self.scratch.window.byte(at);
            self.border(border);
        }
        true
    }

    /// Behind a part that stays, `border` begins another.
    #[inline(always)]
    fn border(&mut self, border: u8) {
        self.first_varies();
        let parts = &mut self.scratch.parts;
        if border != b'-' {
            parts.passes = false;
            parts.all = mix(parts.all, u64::from(border), 1, self.key);
            parts.passes_first = false;
            parts.first = mix(parts.first, u64::from(border), 1, self.key);
            return;
        }
        if !parts.passes {
            parts.all = mix(parts.all, u64::from(border), 1, self.key);
        }
        if !parts.passes_first {
            parts.first = mix(parts.first, u64::from(border), 1, self.key);
        }
    }

    /// Where only the first part stays, this one does not.
    #[inline(always)]
    fn first_varies(&mut self) {
        let parts = &mut self.scratch.parts;
        if parts.count > 1 && !parts.passes_first {
            parts.first = mix(parts.first, u64::from(STAR), 1, self.key);
            parts.passes_first = true;
        }
    }
}

/// Which of eight bytes in front of `end` are letters or underscores, and the bytes.
#[inline(always)]
fn letters(window: &mut Window, at: u32, end: u32) -> (u64, u64) {
    let word = window.le64(at);
    // Beyond ASCII, and DEL, are none.
    let letters = swar::letters(word) & !word & !swar::exactly_zero(word ^ (swar::ONES * 0x7f));
    let left = end.wrapping_sub(at);
    let letters = if left < 8 {
        letters & ((1 << (left * 8)) - 1)
    } else {
        letters
    };
    (letters, word)
}

/// Which of eight bytes end a part together with what a `-` ties to it; the lowest is exact.
#[inline(always)]
fn borders(word: u64) -> u64 {
    swar::equal(word, b':')
        | swar::equal(word | swar::ONES, b'/')
        | swar::equal(word, b'#')
        | swar::equal(word, b'{')
        | swar::equal(word | swar::ONES, b'}')
}

/// Does a part end here?
#[inline(always)]
fn is_border(byte: u8) -> bool {
    matches!(byte, b':' | b'.' | b'/' | b'|' | b'#' | b'{' | b'}' | b'-')
}

/// The pattern of a key, in words. Of one that is longer than [`LONGEST`], its beginning is enough.
#[cfg(not(target_arch = "bpf"))]
pub fn of(key: &[u8]) -> String {
    let cut = key.len() > LONGEST as usize;
    let key = key.get(..LONGEST as usize).unwrap_or(key);
    let mut all = String::new();
    let mut first = String::new();
    let mut count = 0;
    let mut varies = false;
    // Within what `-` ties together, a `*` has been written.
    let (mut passes, mut passes_first) = (false, false);
    let mut rest = key;
    loop {
        let length = rest.iter().position(|byte| is_border(*byte));
        let part = &rest[..length.unwrap_or(rest.len())];
        let last = length.is_none();
        if !passes {
            count += 1;
            let stays = part.len() <= LETTERS as usize
                && part
                    .iter()
                    .all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
                && !(last && cut)
                && (last || count < PARTS);
            if stays {
                all.extend(part.iter().map(|byte| char::from(*byte)));
                if count == 1 {
                    first.clone_from(&all);
                }
            } else {
                all.push('*');
                varies = true;
                passes = true;
                if count >= PARTS {
                    break;
                }
            }
        }
        if count > 1 && !passes_first {
            first.push('*');
            passes_first = true;
        }
        let Some(length) = length else { break };
        let border = char::from(rest[length]);
        rest = &rest[length + 1..];
        let ties = border == '-';
        if !ties || !passes {
            all.push(border);
        }
        if !ties || !passes_first {
            first.push(border);
        }
        passes &= ties;
        passes_first &= ties;
    }
    if varies {
        all
    } else if count == 1 {
        "*".to_owned()
    } else {
        first
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{bytes::BASE, random::draws};

    fn hashed(key: &[u8]) -> u64 {
        let mut scratch = Scratch::boxed();
        for (i, byte) in key.iter().enumerate() {
            scratch.window.set(BASE + i as u32, *byte);
        }
        // What lies behind must not matter.
        scratch.window.set(BASE + key.len() as u32, b'x');
        hash(
            &mut scratch,
            BASE,
            key.len() as u32,
            7,
            0x9e37_79b9_7f4a_7c15,
        )
    }

    #[test]
    fn what_varies_becomes_a_star() {
        let long = format!("user:1:{}", "a".repeat(200));
        let many = ":".repeat(40);
        for (key, pattern) in [
            ("user:1234:email", "user:*:email"),
            ("user:alice", "user:*"),
            ("session:alice:token", "session:*:*"),
            ("counter", "*"),
            ("1234", "*"),
            ("", "*"),
            ("key:000000000012", "key:*"),
            ("key:__rand_int__", "key:*"),
            ("{user1000}.following", "{*}.following"),
            ("cart-items:55", "cart-items:*"),
            ("user-profile-77", "user-profile-*"),
            ("user:550e8400-e29b-41d4-abcd-446655440000:x", "user:*:x"),
            ("a:1.2.3/b|c#d", "a:*.*.*/b|c#d"),
            ("aaaaaaaaaaaaaaaaaaaaaaaa:1", "aaaaaaaaaaaaaaaaaaaaaaaa:*"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaa:1", "*:*"),
            ("user:\u{e9}:1", "user:*:*"),
            ("user: x:1", "user:*:*"),
            (":1", ":*"),
            ("a::1", "a::*"),
            ("session:*", "session:*"),
            (long.as_str(), "user:*:*"),
            (many.as_str(), ":::::::::::::::*"),
        ] {
            assert_eq!(of(key.as_bytes()), pattern, "{key}");
        }
    }

    #[test]
    fn hash_and_words_agree() {
        let mut draw = draws();
        let alphabet = b"ab_Z:.-/1 |#{}\x7f\xe9*@";
        let mut hashes: HashMap<String, u64> = HashMap::new();
        for _ in 0..200_000 {
            let bytes = draw(alphabet.len() - 1) + 1;
            let length = if draw(50) == 0 { draw(300) } else { draw(14) };
            let mut key: Vec<u8> = (0..length).map(|_| alphabet[draw(bytes)]).collect();
            if draw(4) == 0 {
                let at = draw(key.len() + 1);
                key.splice(at..at, vec![b'x'; draw(27)]);
            }
            let (pattern, hash) = (of(&key), hashed(&key));
            let known = *hashes.entry(pattern.clone()).or_insert(hash);
            assert_eq!(known, hash, "{pattern} {}", key.escape_ascii());
        }
        let all: std::collections::HashSet<_> = hashes.values().collect();
        assert_eq!(all.len(), hashes.len(), "patterns are told apart");
        assert!(hashes.len() > 1000);
    }

    #[test]
    fn nothing_but_letters_of_a_key_stays() {
        let mut draw = draws();
        for _ in 0..10_000 {
            let key: Vec<u8> = (0..draw(200)).map(|_| draw(256) as u8).collect();
            let pattern = of(&key);
            assert!(
                pattern.bytes().all(|byte| byte == STAR
                    || byte == b'_'
                    || byte.is_ascii_alphabetic()
                    || is_border(byte)),
                "{pattern}"
            );
            assert!(pattern.len() <= LONGEST as usize);
        }
    }
}
