//! Differences between what was expected and what came.

use std::fmt::{Debug, Write as _};

/// Collects differences so that one run shows all of them.
#[derive(Debug, Default)]
pub struct Differences(String);

impl Differences {
    /// Both should be equal.
    pub fn check<T: PartialEq + Debug>(&mut self, what: &str, expected: &T, got: &T) {
        if expected != got {
            self.note(&format!(
                "{what}:\n  expected {expected:?}\n  got      {got:?}"
            ));
        }
    }

    /// Another difference, in words.
    pub fn note(&mut self, what: &str) {
        writeln!(self.0, "{what}").expect("write");
    }

    /// What may explain them, if there are any.
    pub fn explain(&mut self, why: impl FnOnce() -> String) {
        if !self.0.is_empty() {
            self.note(&why());
        }
    }

    /// There are none.
    ///
    /// # Panics
    /// When there are some: shows them.
    pub fn none(self) {
        assert!(self.0.is_empty(), "\n{}", self.0);
    }
}
