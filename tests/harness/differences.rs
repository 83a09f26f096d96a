//! Differences between what was expected and what came.

use std::fmt::{Debug, Write as _};

use crate::volume::Volume;

/// Collects differences so that one run shows all of them.
#[derive(Debug, Default)]
pub struct Differences {
    found: String,
    /// Queries that may be missing; see [`Self::allow`].
    may_lack: u64,
}

impl Differences {
    /// Both should be equal.
    pub fn check<T: PartialEq + Debug>(&mut self, what: &str, expected: &T, got: &T) {
        if expected != got {
            self.note(&format!(
                "{what}:\n  expected {expected:?}\n  got      {got:?}"
            ));
        }
    }

    /// The kernel has kept so many operations, each of up to so many queries, from all programs: volumes may lack these.
    pub fn allow(&mut self, operations: u64, queries: u64) {
        self.may_lack = operations * queries;
    }

    /// Both should be equal, or less be seen by what is allowed; never more. False when it is neither.
    pub fn check_volume(&mut self, what: &str, expected: &Volume, got: &Volume) -> bool {
        let lacks = expected.queries.saturating_sub(got.queries);
        if got != expected && got.is_within(expected) && lacks <= self.may_lack && self.may_lack > 0
        {
            eprintln!(
                "{what}, of which some may be missing:\n  expected {expected:?}\n  got      {got:?}"
            );
            return true;
        }
        self.check(what, expected, got);
        got == expected
    }

    /// Another difference, in words.
    pub fn note(&mut self, what: &str) {
        writeln!(self.found, "{what}").expect("write");
    }

    /// What may explain them, if there are any.
    pub fn explain(&mut self, why: impl FnOnce() -> String) {
        if !self.found.is_empty() {
            self.note(&why());
        }
    }

    /// There are none.
    ///
    /// # Panics
    /// When there are some: shows them.
    pub fn none(self) {
        assert!(self.found.is_empty(), "\n{}", self.found);
    }
}
