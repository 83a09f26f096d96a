//! Comments at a statement's end: kernel and userspace find the same tags and the same trace there, and nothing that lies around
//! the text makes a difference.

use std::fmt::Write as _;

use sensor_ebpf::{
    bytes::BASE,
    fingerprint::{CAPTURE, Postgres, fingerprint},
    link,
    scratch::Scratch,
    tags::{self, Names},
};
use sensor_user::{sql::tags::Tags, trace::traceparent};

const NAMES: [&str; 2] = ["application", "user"];
const KEYS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 42];

/// What may lie in front of a text and behind it: beginnings and ends of all that the lexer looks for by more than one byte.
const AROUND: [(&[u8], &[u8]); 8] = [
    (b"/*user='x',traceparent='", b"'*/'*/"),
    (&[0xff; 24], b"*/"),
    (b"a = ", b"-1"),
    (b"f(", b"- x"),
    (b"a E", b"$$"),
    (b"a, ", b"'x'"),
    (b"/", b"/"),
    (b"\"", b"12"),
];

/// Most bytes of what all tags say: their names, and values of 63 bytes, each as long as an escaped character.
const LONGEST: usize = NAMES.len() * (22 + 2 + 63 * 10);

/// What the kernel makes of a text.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Its fingerprint, and that with its tags.
    fingerprints: [u64; 2],
    /// Where a traceparent begins, from the text's beginning.
    traceparent: Option<u32>,
}

/// A text.
pub fn check(input: &[u8]) {
    let text = input.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = &text[..text.len().min(CAPTURE as usize)];
    let names = tags::names(NAMES);
    let found = kernel(text, &names, b"", b"");
    for (before, behind) in AROUND {
        assert_eq!(
            found,
            kernel(text, &names, before, behind),
            "what lies around makes a difference: {:?}, {:?}",
            before.escape_ascii().to_string(),
            behind.escape_ascii().to_string()
        );
    }

    let values = tags::read(text, &names);
    let [plain, marked] = found.fingerprints;
    assert_eq!(
        plain != marked,
        values.iter().any(Option::is_some),
        "kernel and userspace find other tags: {values:?}"
    );
    for value in values.into_iter().flatten() {
        assert!(!value.is_empty() && value.len() <= tags::LONGEST_VALUE as usize);
    }
    let mut learnt = Tags::new(&NAMES.map(Into::into));
    learnt.learn(1, text);
    if let Some(told) = learnt.of(1) {
        assert!(told.len() <= LONGEST, "{} bytes of tags", told.len());
        assert!(!told.chars().any(char::is_control), "{told:?}");
        assert!(told.matches(',').count() < NAMES.len(), "{told:?}");
    }

    let context = traceparent(text);
    if let (Some(begin), Some(context)) = (found.traceparent, context) {
        let mut hexadecimal = "00-".to_owned();
        for byte in context.trace {
            let _ = write!(hexadecimal, "{byte:02x}");
        }
        hexadecimal.push('-');
        for byte in context.span {
            let _ = write!(hexadecimal, "{byte:02x}");
        }
        let begin = begin as usize;
        let told = &text[begin..begin + hexadecimal.len()];
        assert_eq!(told, hexadecimal.as_bytes(), "another trace");
    }
}

fn kernel(text: &[u8], names: &Names, before: &[u8], behind: &[u8]) -> Found {
    let mut scratch = Scratch::boxed();
    let start = BASE;
    let end = start + text.len() as u32;
    let mut put = |position: u32, bytes: &[u8]| {
        for (at, byte) in bytes.iter().enumerate() {
            scratch.window.set(position + at as u32, *byte);
        }
    };
    put(start - before.len() as u32, before);
    put(start, text);
    put(end, behind);
    let hashed = fingerprint(&mut scratch, start, end, KEYS, Postgres);
    assert!(
        hashed.length as usize <= text.len(),
        "longer than its text: {hashed:?}"
    );
    let end = start + hashed.length;
    let marked = if tags::find(&mut scratch, start, end, names) {
        tags::mark(&mut scratch, hashed.fingerprint, KEYS[0])
    } else {
        hashed.fingerprint
    };
    let traceparent = link::may_end_in(&mut scratch.window, end)
        .then(|| link::find(&mut scratch.window, start, end))
        .filter(|value| *value != 0);
    if let Some(value) = traceparent {
        assert!(
            start <= value && value + link::LENGTH <= end,
            "a traceparent outside of the text"
        );
    }
    Found {
        fingerprints: [hashed.fingerprint, marked],
        traceparent: traceparent.map(|value| value - start),
    }
}
