//! Where and when something was measured, and of what.

use std::{fs, thread};

use crate::{command, workspace};

/// As far as it can be found out; empty where it can't.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// ISO 8601.
    pub date: String,
    /// Of the sensor and the benchmark.
    pub commit: String,
    /// System and release.
    pub kernel: String,
    /// Model.
    pub processor: String,
    /// How many of it.
    pub processors: usize,
    /// Version of the server.
    pub postgresql: String,
}

impl Machine {
    /// This one, now.
    pub fn read() -> Self {
        let postgres = crate::postgresql::newest_postgresql().unwrap_or_default();
        Self {
            date: said("date", &["--iso-8601=seconds"]),
            commit: said("git", &["describe", "--always", "--abbrev=40", "--dirty"]),
            kernel: said("uname", &["-sr"]),
            processor: processor(),
            processors: thread::available_parallelism().map_or(0, usize::from),
            postgresql: said(&postgres.join("postgres").to_string_lossy(), &["--version"])
                .replace("postgres (PostgreSQL)", "PostgreSQL"),
        }
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let mut command = command::command(program);
    command.args(arguments).current_dir(workspace::root());
    command::output(&mut command)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn processor() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        .unwrap_or_default()
}
