//! Tags in a comment at a statement's end, as sqlcommenter writes them: `/*application='desk',user='ann'*/`.
//!
//! What the configured ones say becomes part of the statement's fingerprint ([`mark`]). So whatever keeps statements apart –
//! the queue of requests, names of prepared statements, merging, records – keeps apart what different people ask in the same
//! words through one connection, and userspace reads who it was out of the text, which leaves once a fingerprint. Both sides
//! find them by the same walk, so that no text can mean one thing here and another there.

use crate::{
    bytes::swar,
    fingerprint::{finish, mix},
    link,
    loops::{Step, repeat},
    scratch::Scratch,
};

/// How many tags can be configured.
pub const TAGS: usize = 4;
/// Bytes of the longest name.
pub const LONGEST_NAME: usize = 22;
/// Bytes of the longest value, as it is written; a longer one is none.
pub const LONGEST_VALUE: u32 = 64;
/// Words of a comment that are walked over at the most.
const STEPS: u32 = 256;

/// The names that are looked for, eight numbers each: the name with the `='` behind it as the end of three words, masks of
/// what counts in them, and its length, zero for none.
pub type Names = [u64; WORDS as usize * TAGS];
/// Numbers of a name; a power of two.
const WORDS: u32 = 8;
/// Where a name's length stands among its numbers.
pub const LENGTH: u32 = 6;
/// The last of all numbers.
pub const LAST: u32 = WORDS * TAGS as u32 - 1;
const _: () = assert!((LAST + 1).is_power_of_two());

/// Where [`Names`] are read from. Not a closure: kernels refuse the type information of a structure that ends in one.
pub trait Sought: Copy {
    /// One of their numbers.
    fn number(self, at: u32) -> u64;
}

#[cfg(not(target_arch = "bpf"))]
impl Sought for &Names {
    fn number(self, at: u32) -> u64 {
        self[at as usize]
    }
}

/// The form in which names of 1 to [`LONGEST_NAME`] bytes are looked for.
#[cfg(not(target_arch = "bpf"))]
pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Names {
    let mut numbers = Names::default();
    for (name, numbers) in names.into_iter().zip(numbers.chunks_mut(WORDS as usize)) {
        let mut bytes = [0u8; 24];
        let mut mask = [0u8; 24];
        let name = &name.as_bytes()[..name.len().min(LONGEST_NAME)];
        let begin = 22 - name.len();
        bytes[begin..22].copy_from_slice(name);
        bytes[22..].copy_from_slice(b"='");
        mask[begin..].fill(0xff);
        for (at, word) in bytes.chunks(8).chain(mask.chunks(8)).enumerate() {
            numbers[at] = word
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte));
        }
        numbers[LENGTH as usize] = 24 - begin as u64;
    }
    numbers
}

/// Where the walk is, from the comment's end to its beginning, and what it has found. Lives in [`Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// Behind what is still to be looked at.
    at: u32,
    /// Where the text begins.
    start: u32,
    /// Where the value ends that is being passed.
    value_end: u32,
    in_value: bool,
    /// The comment's beginning was found.
    opened: bool,
    /// Where values lie; equal when there is none.
    from: [u32; TAGS],
    to: [u32; TAGS],
}

struct Pass<'a, N> {
    scratch: &'a mut Scratch,
    names: N,
}

impl<N: Sought> Step for Pass<'_, N> {
    /// A word, or what is left of it in front of a quote or of the comment's beginning.
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Walk {
            at,
            start,
            in_value,
            ..
        } = self.scratch.tags;
        if at <= start {
            return false;
        }
        // The byte in front of `at` first.
        let word = self.scratch.window.le64(at.wrapping_sub(8)).swap_bytes();
        let mut matches = swar::equal(word, b'\'');
        if !in_value {
            matches |= swar::equal(word, b'*');
        }
        let passed = swar::length(swar::mask_before(matches));
        let at = at.wrapping_sub(passed);
        self.scratch.tags.at = at;
        if passed >= 8 {
            return true;
        }
        if in_value {
            self.value(at);
            self.scratch.tags.in_value = false;
        } else if self.scratch.window.byte(at.wrapping_sub(1)) == b'\'' {
            self.scratch.tags.value_end = at.wrapping_sub(1);
            self.scratch.tags.in_value = true;
        } else {
            let opens = self.scratch.window.byte(at.wrapping_sub(2)) == b'/';
            self.scratch.tags.opened = opens && at >= start + 2;
            return false;
        }
        self.scratch.tags.at = at.wrapping_sub(1);
        true
    }
}

impl<N: Sought> Pass<'_, N> {
    /// The value that begins at `from`: is it that of a configured name?
    #[inline(always)]
    fn value(&mut self, from: u32) {
        let Walk {
            start, value_end, ..
        } = self.scratch.tags;
        if value_end.wrapping_sub(from) > LONGEST_VALUE || value_end == from {
            return;
        }
        let mut tag = 0;
        while tag < TAGS as u32 {
            let names = self.names;
            let number = |at: u32| names.number(tag * WORDS + at);
            let length = number(LENGTH) as u32;
            if length == 0 || from < start + length {
                break;
            }
            let mut differs = 0;
            let mut at = 0;
            while at < 3 {
                let word = self.scratch.window.le64(from.wrapping_sub(24 - 8 * at));
                differs |= (word ^ number(at)) & number(at + 3);
                at += 1;
            }
            let before = self.scratch.window.byte(from.wrapping_sub(length + 1));
            let begins = before == b',' || before == b'*' || before == b' ';
            let place = (tag & (TAGS as u32 - 1)) as usize;
            let tags = &mut self.scratch.tags;
            // The last of a name counts: it is the first on this way.
            if differs == 0 && begins && tags.from[place] == tags.to[place] {
                tags.from[place] = from;
                tags.to[place] = value_end;
            }
            tag += 1;
        }
    }
}

/// Looks for tags in the text from `start` to `end`. True when it ends in a comment of that kind.
#[inline(always)]
pub fn find<N: Sought>(scratch: &mut Scratch, start: u32, end: u32, names: N) -> bool {
    if end < start + 8 || !link::may_end_in(&mut scratch.window, end) {
        return false;
    }
    let last = if scratch.window.byte(end - 1) == b'/' {
        3
    } else {
        4
    };
    scratch.tags = Walk {
        at: end - last,
        start,
        value_end: end - last,
        in_value: true,
        opened: false,
        from: [0; TAGS],
        to: [0; TAGS],
    };
    let mut pass = Pass { scratch, names };
    repeat(STEPS, &mut pass);
    scratch.tags.opened
}

/// The fingerprint of a text whose own is `fingerprint`, with the values of its tags in it, which [`find`] has found.
#[inline(always)]
pub fn mark(scratch: &mut Scratch, fingerprint: u64, key: u64) -> u64 {
    let mut hash = fingerprint;
    let mut any = 0;
    let mut tag = 0;
    while tag < TAGS {
        let (from, to) = (scratch.tags.from[tag], scratch.tags.to[tag]);
        let length = to.wrapping_sub(from);
        any |= length;
        hash = mix(hash, tag as u64, length, key);
        let mut at = 0;
        while at < LONGEST_VALUE {
            let rest = length.wrapping_sub(at);
            if at >= length {
                break;
            }
            let mask = if rest >= 8 {
                u64::MAX
            } else {
                (1 << (rest * 8)) - 1
            };
            let word = scratch.window.le64(from.wrapping_add(at)) & mask;
            hash = mix(hash, word, 8, key);
            at += 8;
        }
        tag += 1;
    }
    if any == 0 {
        return fingerprint;
    }
    finish(hash, key)
}

/// The values of a text's tags as they are written, in the names' order.
#[cfg(not(target_arch = "bpf"))]
pub fn read<'a>(text: &'a [u8], names: &Names) -> [Option<&'a [u8]>; TAGS] {
    use crate::{bytes::BASE, fingerprint::CAPTURE};
    if text.len() > CAPTURE as usize {
        return [None; TAGS];
    }
    let mut scratch = Scratch::boxed();
    for (at, byte) in text.iter().enumerate() {
        scratch.window.set(BASE + at as u32, *byte);
    }
    let end = BASE + text.len() as u32;
    if !find(&mut scratch, BASE, end, names) {
        return [None; TAGS];
    }
    let Walk { from, to, .. } = scratch.tags;
    std::array::from_fn(|tag| {
        let at = |place: u32| (place - BASE) as usize;
        (to[tag] > from[tag]).then(|| &text[at(from[tag])..at(to[tag])])
    })
}

#[cfg(test)]
mod tests;
