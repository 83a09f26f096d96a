//! How the tests in a guest went, by their runner's own summary.

use std::{fmt, path::Path, time::Duration};

use anyhow::{Result, bail};

use super::guest::EXIT;

/// Sums over all test files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were not asked for.
    pub filtered: u64,
    /// Test files with a summary.
    pub files: u64,
    /// What the guest said at its end; nothing when it did not get there.
    pub status: Option<i32>,
    /// From power on to the end.
    pub took: Duration,
    /// Whether it was ended because it took too long.
    pub overdue: bool,
}

impl Summary {
    /// Takes in a line of the guest's output.
    pub fn line(&mut self, line: &str) {
        if let Some(status) = line.strip_prefix(EXIT) {
            self.status = status.trim().parse().ok();
        }
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        self.files += 1;
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let number: u64 = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "filtered" => self.filtered += number,
                _ => {}
            }
        }
    }

    /// An error unless all tests passed, and there were any. `log` is where their output is.
    pub fn verdict(&self, log: &Path) -> Result<String> {
        let log = log.display();
        if self.overdue {
            bail!("the time limit was reached: the log is {log}");
        }
        match self.status {
            None => bail!(
                "the guest ended before its tests did: the kernel's last words are at the end of {log}"
            ),
            Some(_) if self.failed > 0 => bail!("{} tests failed: the log is {log}", self.failed),
            Some(0) if self.passed == 0 => bail!("no test ran: does any have such a name?"),
            Some(0) => Ok(self.to_string()),
            Some(status) => bail!("a test file ended with status {status}: the log is {log}"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, in {} files",
            self.passed, self.failed, self.files
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Summary {
        let mut summary = Summary::default();
        text.lines().for_each(|line| summary.line(line));
        summary
    }

    #[test]
    fn summaries_are_added_up() {
        let summary = of(
            "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 61.02s\n\
             test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n\
             xtask: exit 1\n",
        );
        assert_eq!(
            (
                summary.passed,
                summary.failed,
                summary.filtered,
                summary.files
            ),
            (9, 1, 2, 2)
        );
        assert_eq!(summary.status, Some(1));
        assert!(summary.verdict(Path::new("log")).is_err());
    }

    #[test]
    fn no_test_and_no_end_are_failures() {
        let nothing = of("test result: ok. 0 passed; 0 failed; 9 filtered out\nxtask: exit 0\n");
        assert!(nothing.verdict(Path::new("log")).is_err());
        let crashed = of("test result: ok. 3 passed; 0 failed\n");
        assert!(crashed.verdict(Path::new("log")).is_err());
        let good = of("test result: ok. 3 passed; 0 failed\nxtask: exit 0\n");
        assert!(good.verdict(Path::new("log")).is_ok());
    }
}
