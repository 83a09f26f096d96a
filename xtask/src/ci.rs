//! `cargo xtask ci`: what continuous integration runs.

use anyhow::Result;

use crate::test;

/// The same as `cargo xtask test`.
pub fn ci() -> Result<()> {
    test::test(&test::Arguments::default())
}
