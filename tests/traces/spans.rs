//! Spans as the receiver has them.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

/// All spans (or log records, or metrics) that a receiver has taken.
pub fn received(file: &Path, pointers: [&str; 3]) -> Vec<Value> {
    let [resources, scopes, records] = pointers;
    let text = fs::read_to_string(file).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for line in complete.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        for resource in list(&line[resources]) {
            for scope in list(&resource[scopes]) {
                found.extend(list(&scope[records]));
            }
        }
    }
    found
}

pub fn spans(file: &Path) -> Vec<Value> {
    received(file, ["resourceSpans", "scopeSpans", "spans"])
}

pub fn attribute(of: &Value, key: &str) -> Option<String> {
    let mut pairs = of["attributes"].as_array()?.iter();
    let value = &pairs.find(|pair| pair["key"] == key)?["value"];
    let (_, value) = value.as_object()?.iter().next()?;
    Some(
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    )
}

pub fn is(of: &Value, key: &str, value: &str) -> bool {
    attribute(of, key).as_deref() == Some(value)
}

pub fn number(of: &Value, key: &str) -> f64 {
    attribute(of, key).map_or(f64::NAN, |text| text.parse().expect("a number"))
}

pub fn nanos(of: &Value, key: &str) -> u128 {
    of[key].as_str().expect("a time").parse().expect("a number")
}

/// Ids are base64 in the receiver's JSON; people write them in hexadecimal.
pub fn hexadecimal(id: &Value) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = id.as_str().unwrap_or_default().trim_end_matches('=');
    let mut bits = 0_u32;
    let mut held = 0;
    let mut hex = String::new();
    for letter in text.bytes() {
        let value = LETTERS.iter().position(|one| *one == letter);
        bits = bits << 6 | u32::try_from(value.expect("base64")).expect("small");
        held += 6;
        if held >= 8 {
            held -= 8;
            hex += &format!("{:02x}", bits >> held & 0xff);
        }
    }
    hex
}

/// Trace and span of a span.
pub fn context(span: &Value) -> (String, String) {
    (hexadecimal(&span["traceId"]), hexadecimal(&span["spanId"]))
}

pub fn links(span: &Value) -> Vec<(String, String)> {
    let links = span["links"].as_array();
    links.into_iter().flatten().map(context).collect()
}

pub fn now() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after the epoch").as_nanos()
}
