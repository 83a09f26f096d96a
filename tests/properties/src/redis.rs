//! Requests of Redis: nothing of keys but their pattern, and nothing of values, gets into a shape.

use sensor_user::sql::{
    Language, Shape,
    redis::{patterns::Patterns, uses, writes},
};

use crate::{mode, sql};

/// What no shape may hold any part of that has a digit.
const CANARY: &str = "s3cr3t-c4n4ry";
const PARTS: [&str; 2] = ["s3cr3t", "c4n4ry"];

/// In the first byte: a canary stands among the words, at the place that bits 2 to 5 say.
const CANARIES: u8 = 1;
/// Words are written as a line.
const LINE: u8 = 2;

/// A request, or words of which one is made: a line each.
pub fn request(input: &[u8]) {
    let (mode, text) = mode(input);
    if mode & CANARIES == 0 {
        shape(text);
        return;
    }
    let mut words: Vec<&[u8]> = text.split(|byte| *byte == b'\n').take(20).collect();
    let place = 1 + usize::from(mode >> 2 & 15);
    words.insert(place.min(words.len()), CANARY.as_bytes());
    let text = if mode & LINE != 0 {
        // A request as a list begins with a star, which a line cannot.
        let line = words.join(&b' ');
        [&line[line.iter().take_while(|byte| **byte == b'*').count()..]].concat()
    } else {
        let mut text = format!("*{}\r\n", words.len()).into_bytes();
        for word in &words {
            text.extend(format!("${}\r\n", word.len()).as_bytes());
            text.extend_from_slice(word);
            text.extend(b"\r\n");
        }
        text
    };
    let shape = shape(&text);
    // Where data is sent to is what matters of it.
    let shown = format!("{:?} {} {}", shape.tables, shape.summary, shape.text);
    for part in PARTS {
        assert!(!shown.contains(part), "a key or value is shown: {shown}");
    }
}

fn shape(text: &[u8]) -> Shape {
    let shape = sql::analyse(Language::Redis, text, false).remove(0);
    assert!(shape.text.is_ascii(), "{shape:?}");
    writes(&shape);
    if let Some(database) = uses(&shape) {
        assert!(database.len() <= 3, "{shape:?}");
    }
    let learnt = Patterns::default().learn(shape.clone());
    assert_eq!(
        learnt, shape,
        "patterns change before there are many of them"
    );
    shape
}
