//! `cargo xtask ci`: what continuous integration runs.

use anyhow::Result;

use crate::{fuzz, test};

/// `cargo xtask test`, then `cargo xtask fuzz`.
pub fn ci() -> Result<()> {
    test::test(&test::Arguments::default())?;
    fuzz::fuzz(&fuzz::Arguments::default())
}
