//! Texts as numbers, so that state is small.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::hash_text;

/// Texts in the order in which they came.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Arc<str>>", into = "Vec<Arc<str>>")]
pub struct Names {
    texts: Vec<Arc<str>>,
    numbers: FxHashMap<Arc<str>, u32>,
}

impl Names {
    /// The number of a text, a new one for a new text.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    /// The same, but there are at most `most` texts: beyond, new ones are all the last one, `(other)`.
    pub fn number_within(&mut self, text: &str, most: usize) -> u32 {
        match self.numbers.get(text) {
            Some(number) => *number,
            None if self.texts.len() + 1 < most => self.number(text),
            None => self.number("(other)"),
        }
    }

    /// The number of a text, if it has one.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    /// The text behind a number.
    pub fn text(&self, number: u32) -> Arc<str> {
        self.texts
            .get(number as usize)
            .cloned()
            .unwrap_or_else(|| "".into())
    }

    /// A hash of the text behind a number: the same wherever and whenever the text came first.
    pub fn hash(&self, number: u32) -> u64 {
        self.texts
            .get(number as usize)
            .map_or(0, |text| hash_text(text))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// None yet?
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

impl From<Vec<Arc<str>>> for Names {
    fn from(texts: Vec<Arc<str>>) -> Self {
        let numbers = texts
            .iter()
            .zip(0u32..)
            .map(|(text, number)| (text.clone(), number))
            .collect();
        Self { texts, numbers }
    }
}

impl From<Names> for Vec<Arc<str>> {
    fn from(names: Names) -> Self {
        names.texts
    }
}
