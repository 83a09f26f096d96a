//! The weeks before the live days, as a history of events that `sensor history import` takes in.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::{AGENTS, data::agent, desk};
use crate::{command, command::command, eval::random::mix};

/// How many days.
pub const DAYS: u32 = 70;

/// Writes the days before `first_live` (days since 1970) and has the sensor import them; how many events.
pub fn import(
    binary: &Path,
    folder: &Path,
    configuration: &Path,
    first_live: u32,
    customers: u64,
) -> Result<usize> {
    let path = folder.join("past.csv");
    let text = events(first_live, customers);
    fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    command::logged(
        command(binary)
            .args(["history", "import", "--events"])
            .arg(&path)
            .arg("--config")
            .arg(configuration),
        "demo-import",
    )?;
    Ok(text.lines().count() - 1)
}

/// A row an agent and hour.
fn events(first_live: u32, customers: u64) -> String {
    let mut text = String::from(
        "time,principal,host,os_user,database,table,operation,fingerprint,statement_rows,rows,bytes,queries,keys\n",
    );
    for day in first_live - DAYS..first_live {
        for index in 1..=AGENTS {
            let look_ups = desk::day(index, day, None, customers);
            for hour in look_ups.chunk_by(|a, b| a.hour.floor() == b.hour.floor()) {
                let Some(last) = hour.last() else { continue };
                let keys: Vec<String> = hour
                    .iter()
                    .map(|look_up| format!("{:016x}", mix(look_up.customer)))
                    .collect();
                let _ = writeln!(
                    text,
                    "{},{},{},root,support,customers,SELECT,00000000000000a1,1,{rows},{},{rows},{}",
                    u64::from(day) * 86_400 + (last.hour * 3600.0) as u64,
                    agent(index),
                    if desk::local(index) {
                        "local"
                    } else {
                        "127.0.0.1"
                    },
                    hour.len() * 150,
                    keys.join(" "),
                    rows = hour.len(),
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_ends_before_the_first_live_day_and_knows_no_hire() {
        let text = events(20_000, 5000);
        let mut lines = text.lines();
        let columns = lines.next().expect("a header").split(',').count();
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), columns);
            let time: u64 = cells[0].parse().expect("seconds");
            assert!(((20_000 - 70) * 86_400..20_000 * 86_400).contains(&time));
            assert_ne!(cells[1], agent(desk::HIRE));
        }
    }
}
