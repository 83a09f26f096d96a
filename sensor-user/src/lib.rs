//! A kernel-level data-access sensor for database hosts: the userspace half.
//!
//! Data goes one way: `kernel` → `ingest` → `principal`/`sql` → `volume` → `detect` → `export`, `history`, `console`. `pipeline`
//! joins the pure parts; `cli` holds the verbs, and with them the clock and all input and output.

pub mod cli;
pub mod config;
pub mod console;
pub mod detect;
pub mod discover;
pub mod export;
pub mod history;
pub mod ingest;
pub mod inventory;
pub mod kernel;
pub mod pipeline;
pub mod principal;
pub mod sql;
pub mod time;
pub mod trace;
pub mod volume;
