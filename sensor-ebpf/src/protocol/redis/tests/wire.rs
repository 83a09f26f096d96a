//! Requests and answers as clients and servers write them.

use crate::protocol::simulation::Simulation;

/// A request.
pub fn ask(words: &[&str]) -> Vec<u8> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    ask_bytes(&words)
}

pub fn ask_bytes(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(bulk(word));
    }
    bytes
}

pub fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

/// A list of texts.
pub fn list(kind: char, texts: &[&[u8]]) -> Vec<u8> {
    let count = if kind == '%' {
        texts.len() / 2
    } else {
        texts.len()
    };
    let mut bytes = format!("{kind}{count}\r\n").into_bytes();
    for text in texts {
        bytes.extend(bulk(text));
    }
    bytes
}

/// So many texts, of all lengths and full of what looks like an answer.
pub fn values(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|i| match i % 5 {
            0 => vec![],
            1 => b"$3\r\nabc\r\n*2\r\n".to_vec(),
            2 => vec![b'x'; 300],
            3 => b"\r\n-ERR\r\n".to_vec(),
            _ => i.to_string().into_bytes(),
        })
        .collect()
}

/// A list of so many.
pub fn many(kind: char, count: usize) -> Vec<u8> {
    let values = values(count);
    let texts: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    list(kind, &texts)
}

/// What leaves of the text of a request: its first words, as [`ask`] writes them.
pub fn text(simulation: &Simulation) -> Vec<(String, [u64; 4])> {
    let mut totals: Vec<(String, [u64; 4])> = simulation
        .totals()
        .into_iter()
        .map(|(text, sums)| (words(&text), sums))
        .filter(|(text, sums)| !text.is_empty() || sums[0] + sums[1] > 0)
        .collect();
    totals.sort();
    totals
}

/// The words of a request's beginning.
pub fn words(text: &str) -> String {
    if !text.starts_with('*') {
        return text.to_owned();
    }
    let mut lines = text.split("\r\n").skip(1);
    let mut words = Vec::new();
    while let (Some(_), Some(word)) = (lines.next(), lines.next()) {
        words.push(word);
    }
    words.join(" ")
}

/// Queries and rows of a statement, by its words.
pub fn rows(simulation: &Simulation, statement: &str) -> (u64, u64) {
    text(simulation)
        .iter()
        .filter(|(text, _)| text == statement)
        .fold((0, 0), |sum, (_, sums)| (sum.0 + sums[0], sum.1 + sums[1]))
}
