//! demo
use std::path::PathBuf;
use anyhow::Result;
/// args
#[derive(Debug, clap::Args)]
pub struct Arguments {}
/// demo
pub fn demo(_: &Arguments) -> Result<()> { Ok(()) }
/// pg
pub fn newest_postgresql() -> Result<PathBuf> { Ok("/usr/lib/postgresql/15/bin".into()) }
