//! Who asks, as an application says in a comment at a statement's end (sqlcommenter): the tags that are configured.
//!
//! They are part of the kernel's fingerprints (`sensor_ebpf::tags`), so each fingerprint has one answer.

use std::{collections::HashMap, sync::Arc};

use sensor_ebpf::tags::{self, Names};

use crate::principal::startup::clean;

/// What the tags of each fingerprint's text say.
#[derive(Debug, Default)]
pub struct Tags {
    names: Vec<Arc<str>>,
    sought: Names,
    by_fingerprint: HashMap<u64, Arc<str>>,
}

impl Tags {
    /// With these names, the first [`tags::TAGS`] of them.
    pub fn new(names: &[Arc<str>]) -> Self {
        Self {
            names: names.to_vec(),
            sought: tags::names(names.iter().map(|name| &**name)),
            by_fingerprint: HashMap::new(),
        }
    }

    /// Where the kernel's fingerprints do not hold tags, one would pass for another's.
    pub fn turn_off(&mut self) {
        *self = Self::default();
    }

    /// Is none looked for?
    pub fn is_off(&self) -> bool {
        self.names.is_empty()
    }

    /// Learns the text behind a fingerprint.
    pub fn learn(&mut self, fingerprint: u64, text: &[u8]) {
        if self.is_off() {
            return;
        }
        match self.read(text) {
            Some(tags) => self.by_fingerprint.insert(fingerprint, tags),
            None => self.by_fingerprint.remove(&fingerprint),
        };
    }

    /// The fingerprint is no longer known.
    pub fn forget(&mut self, fingerprint: u64) {
        self.by_fingerprint.remove(&fingerprint);
    }

    /// What the tags behind a fingerprint say: `user=ann`, `application=desk,user=ann`; `None` where there are none.
    pub fn of(&self, fingerprint: u64) -> Option<&Arc<str>> {
        self.by_fingerprint.get(&fingerprint)
    }

    fn read(&self, text: &[u8]) -> Option<Arc<str>> {
        let values = tags::read(text, &self.sought);
        let mut all = String::new();
        for (name, value) in self.names.iter().zip(values) {
            if let Some(value) = value {
                if !all.is_empty() {
                    all.push(',');
                }
                all.push_str(name);
                all.push('=');
                all.push_str(&clean(&decoded(value)));
            }
        }
        (!all.is_empty()).then(|| all.into())
    }
}

/// Without percent-encoding. What is none stands for itself. A comma is encoded, or stays so: one pair must not look like two.
fn decoded(value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, behind)) = rest.split_first() {
        let byte = (*first == b'%')
            .then(|| behind.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| *byte != b',');
        match byte {
            Some(byte) => {
                decoded.push(byte);
                rest = &behind[2..];
            }
            None if *first == b',' => {
                decoded.extend(b"%2C");
                rest = behind;
            }
            None => {
                decoded.push(*first);
                rest = behind;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let tags = Tags::new(&["application".into(), "user".into()]);
        tags.read(text.as_bytes()).map(|tags| tags.to_string())
    }

    #[test]
    fn values_are_decoded_and_cannot_deceive() {
        for (comment, told) in [
            ("user='ann'", Some("user=ann")),
            (
                "user='ann',application='desk'",
                Some("application=desk,user=ann"),
            ),
            ("user='Ann%20B%c3%a9'", Some("user=Ann Bé")),
            ("user='%1b[31m%e2%80%ae'", Some("user=\\u{1b}[31m\\u{202e}")),
            ("user='%ff%zz%'", Some("user=\\xff%zz%")),
            // One value is not two.
            (
                "application='a%2Cuser=boss'",
                Some("application=a%2Cuser=boss"),
            ),
            (
                "application='a,user=boss'",
                Some("application=a%2Cuser=boss"),
            ),
            ("route='/x'", None),
        ] {
            let text = format!("SELECT 1 /*{comment}*/");
            assert_eq!(read(&text).as_deref(), told, "{comment}");
        }
        let long = format!("SELECT 1 /*user='{}'*/", "x".repeat(64));
        assert_eq!(read(&long).map(|tags| tags.len()), Some(5 + 63));
    }

    #[test]
    fn what_was_learnt_is_forgotten_with_its_text() {
        let mut tags = Tags::new(&["user".into()]);
        tags.learn(1, b"SELECT 1 /*user='ann'*/");
        tags.learn(3, b"SELECT 1");
        assert_eq!(tags.of(1).map(|tags| &**tags), Some("user=ann"));
        assert_eq!(tags.of(3), None);
        tags.forget(1);
        assert_eq!(tags.of(1), None);
        let mut off = Tags::default();
        off.learn(1, b"SELECT 1 /*user='ann'*/");
        assert_eq!(off.of(1), None);
    }
}
