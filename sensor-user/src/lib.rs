//! A kernel-level data-access sensor for database hosts: the userspace half.
//!
//! Data goes one way: `kernel` → `ingest` → `principal`/`sql` → `volume` → `detect` → `export`, `console`.

pub mod config;
pub mod detect;
pub mod export;
pub mod principal;
pub mod sql;
pub mod time;
pub mod volume;
