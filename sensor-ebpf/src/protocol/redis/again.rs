//! A request that is like the one before it on this processor: nearly all of a pipeline, and of what an application asks for again and
//! again. Its statement is the same, so nothing of it is taken apart.
//!
//! Alike are two whose commands, numbers of arguments and lengths are the same, and whose first keys differ in digits
//! alone: a digit makes a part of a key vary, whichever it is ([`super::pattern`]).

use super::head::Head;
use crate::{protocol::Walk, scratch::Scratch};

/// Bytes of a request, up to and with its key, that are compared.
const LONGEST: u32 = 96;
const WORDS: usize = LONGEST as usize / 8;

/// See the module. Lives in [`Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// Statement.
    fingerprint: u64,
    /// Command.
    command: u32,
    /// Its bytes.
    words: [u64; WORDS],
    /// Where its key begins.
    key: u32,
    /// Bytes up to behind its key, and what follows that; zero for no request.
    length: u32,
    /// Arguments that follow there.
    arguments: u32,
    /// Bytes of what userspace needs.
    text: u32,
}

/// The request that begins at `position`, whose first argument is a key, may have others like it.
#[inline(always)]
pub fn remember(scratch: &mut Scratch, position: u32) {
    let Head {
        fingerprint,
        command,
        end,
        arguments,
        text_end,
        key,
        ..
    } = scratch.head;
    let length = end - position;
    if length > LONGEST {
        return;
    }
    // All of them, whatever the length: the verifier follows each way out of a loop to the end of all that comes behind.
    let mut word = 0;
    while word < WORDS {
        scratch.before.words[word] = scratch.window.le64(position + word as u32 * 8);
        word += 1;
    }
    let before = &mut scratch.before;
    before.fingerprint = fingerprint;
    before.command = command;
    before.text = text_end - position;
    before.key = key.start - position;
    before.length = length;
    before.arguments = arguments;
}

/// Takes the request at `walk.position` as that; false when it is another.
#[inline(always)]
pub fn take(scratch: &mut Scratch) -> bool {
    let Walk { position, end, .. } = scratch.walk;
    let length = scratch.before.length;
    if length == 0 || length > end - position || !is_like(scratch, position) {
        return false;
    }
    let before = &scratch.before;
    let head = &mut scratch.head;
    head.fingerprint = before.fingerprint;
    head.command = before.command;
    head.end = position + length;
    head.arguments = before.arguments;
    head.text_end = position + before.text;
    true
}

/// Is the request at `position`, of which enough is at hand, like it? A call of its own: what it keeps on the stack does not lie there
/// while others are taken apart.
#[inline(never)]
fn is_like(scratch: &mut Scratch, position: u32) -> bool {
    let (key, length) = (scratch.before.key, scratch.before.length);
    let mut word = 0;
    while word < WORDS {
        let at = word as u32 * 8;
        if at >= length {
            break;
        }
        let one = scratch.before.words[word];
        let other = scratch.window.le64(position + at);
        if one != other && !differs_in_digits(one, other, at, key, length) {
            return false;
        }
        word += 1;
    }
    true
}

/// Do two words, `at` bytes behind the beginnings of their requests, differ in digits of the key alone?
#[inline(always)]
fn differs_in_digits(one: u64, other: u64, at: u32, key: u32, length: u32) -> bool {
    const NIBBLES: u64 = 0x0f0f_0f0f_0f0f_0f0f;
    const SIXES: u64 = 0x0606_0606_0606_0606;
    const SIGNS: u64 = 0x8080_8080_8080_8080;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let mut difference = one ^ other;
    let left = length - at;
    if left < 8 {
        difference &= (1 << ((left * 8) & 63)) - 1;
    }
    let fixed = key.saturating_sub(at);
    if fixed >= 8 {
        return difference == 0;
    }
    if difference & ((1 << ((fixed * 8) & 63)) - 1) != 0 {
        return false;
    }
    // Of each byte: is it none of '0' to '9' in one of the words? The sums stay within their bytes.
    let (one, other) = (one ^ ZEROS, other ^ ZEROS);
    let sums = ((one & NIBBLES) + SIXES) | ((other & NIBBLES) + SIXES);
    let others = (one | other | sums) >> 4 & NIBBLES;
    let others = (others + NIBBLES) << 3 & SIGNS;
    let differs = (((difference & !SIGNS) + !SIGNS) | difference) & SIGNS;
    differs & others == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bytes::BASE,
        protocol::redis::head::{TAKEN, head},
        random::draws,
    };

    const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 42];

    fn request(arguments: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            request.extend(format!("${}\r\n", argument.len()).bytes());
            request.extend(*argument);
            request.extend(b"\r\n");
        }
        request
    }

    /// Puts two requests into the window; where the second one begins.
    fn put(scratch: &mut Scratch, one: &[u8], other: &[u8]) -> u32 {
        scratch.window.spoil(BASE, b'7');
        for (i, byte) in one.iter().chain(other).enumerate() {
            scratch.window.set(BASE + i as u32, *byte);
        }
        BASE + one.len() as u32
    }

    /// Takes the request between these apart, whether or not it is like the one before; its statement.
    fn statement(scratch: &mut Scratch, position: u32, end: u32) -> u64 {
        scratch.before.length = 0;
        scratch.walk.position = position;
        scratch.walk.end = end;
        scratch.head.forced = false;
        assert_eq!(head(scratch, KEYS), TAKEN);
        scratch.head.fingerprint
    }

    fn alike(one: &[&[u8]], other: &[&[u8]]) -> bool {
        let mut scratch = Scratch::boxed();
        let (one, other) = (request(one), request(other));
        let second = put(&mut scratch, &one, &other);
        statement(&mut scratch, BASE, second);
        scratch.walk.position = second;
        scratch.walk.end = second + other.len() as u32;
        take(&mut scratch)
    }

    #[test]
    fn requests_that_differ_in_digits_are_alike() {
        assert!(alike(
            &[b"GET", b"key:000000001234"],
            &[b"GET", b"key:999999990000"]
        ));
        assert!(alike(&[b"GET", b"a"], &[b"GET", b"a"]));
        assert!(alike(
            &[b"SET", b"k:1", b"one"],
            &[b"SET", b"k:2", b"another"]
        ));
        for (one, other) in [
            (&[&b"GET"[..], b"key:1"][..], &[&b"GET"[..], b"kex:1"][..]),
            (&[b"GET", b"key:1"], &[b"GET", b"key:a"]),
            (&[b"GET", b"key:1"], &[b"GET", b"key::"]),
            (&[b"GET", b"key:1"], &[b"GET", b"key:/"]),
            (&[b"GET", b"key:1"], &[b"GET", b"key:12"]),
            (&[b"GET", b"key:1"], &[b"SET", b"key:1"]),
            (&[b"GET1", b"key:1"], &[b"GET2", b"key:1"]),
            (&[b"GET", b"key:1"], &[b"GET", b"key:1", b"x"]),
            (&[b"GET", b"k"], &[b"get", b"k"]),
        ] {
            assert!(!alike(one, other), "{one:?} {other:?}");
        }
        // Longer than what is compared.
        let long = [b'1'; 120];
        assert!(!alike(&[b"GET", &long], &[b"GET", &long]));
    }

    /// Whatever is alike has the same statement.
    #[test]
    fn alike_is_the_same_statement() {
        let mut draw = draws();
        let alphabet = b"0189ab:./-{}|#_;?Z\x7f\xb0\xb9\x80";
        let mut found = 0;
        for _ in 0..200_000 {
            let key: Vec<u8> = (0..draw(40))
                .map(|_| alphabet[draw(alphabet.len())])
                .collect();
            let mut near = key.clone();
            for _ in 0..draw(4) {
                if !near.is_empty() {
                    let at = draw(near.len());
                    near[at] = if draw(3) == 0 {
                        alphabet[draw(alphabet.len())]
                    } else {
                        b'0' + draw(10) as u8
                    };
                }
            }
            let names: [&[u8]; 3] = [b"GET", b"HGETALL", b"GET9"];
            let (one, other) = (
                request(&[names[draw(3)], &key]),
                request(&[names[draw(3)], &near]),
            );
            let mut scratch = Scratch::boxed();
            let second = put(&mut scratch, &one, &other);
            let first = statement(&mut scratch, BASE, second);
            let end = second + other.len() as u32;
            scratch.walk.position = second;
            scratch.walk.end = end;
            if take(&mut scratch) {
                found += 1;
                let same = scratch.head;
                assert_eq!(
                    statement(&mut scratch, second, end),
                    first,
                    "{} {}",
                    one.escape_ascii(),
                    other.escape_ascii()
                );
                let told = |head: &Head| (head.command, head.end, head.arguments, head.text_end);
                assert_eq!(told(&same), told(&scratch.head));
            }
        }
        assert!(found > 10_000, "{found}");
    }
}
