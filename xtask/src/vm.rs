//! `cargo xtask vm`: the integration tests on other kernels, each booted in QEMU on this machine's own files.
//!
//! The guest's root is this machine's, read-only by 9p, under an overlay in memory: the sensor, PostgreSQL, the clients
//! and the tests are the same files at the same paths as for the tests on the live kernel. Only the kernel is another.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build, command,
    progress::{self, Progress},
    setup::{self, For},
    signal, workspace,
};

mod apt;
mod guest;
mod initramfs;
mod kernel;
mod machine;
mod results;

pub use kernel::Version;
use machine::Accelerator;
use results::Summary;

/// Arguments of `cargo xtask vm`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which kernels.
    #[arg(long, value_name = "VERSION", required = true, num_args = 1..)]
    kernel: Vec<Choice>,
    /// Hooks that the sensor is made to use, instead of the best ones that the kernel has.
    #[arg(long, value_name = "FAMILY")]
    hooks: Option<String>,
    /// Minutes that one kernel's tests may take.
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    limit: u64,
    /// More of the kernel's command line, such as `lockdown=confidentiality`.
    #[arg(long, value_name = "TEXT")]
    append: Option<String>,
    /// Names of test files (`exactness`), parts of tests' names, and what else the tests' runner takes; all tests when
    /// there are none.
    #[arg(last = true)]
    tests: Vec<String>,
}

/// A kernel, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    /// Debian 11.
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13.
    #[value(name = "6.12")]
    V6_12,
    /// Debian unstable.
    #[value(name = "7.2")]
    V7_2,
    /// All of these.
    #[value(name = "all")]
    All,
}

impl Choice {
    fn versions(self) -> &'static [Version] {
        match self {
            Self::V5_10 => &[Version::V5_10],
            Self::V6_1 => &[Version::V6_1],
            Self::V6_12 => &[Version::V6_12],
            Self::V7_2 => &[Version::V7_2],
            Self::All => &Version::ALL,
        }
    }
}

/// Tests that are run on other kernels with every `cargo xtask test`: on two of them, one for each of the upper rungs,
/// within some minutes without KVM. `cargo xtask vm --kernel all` runs all tests on all of them.
const SMOKE: [&str; 3] = [
    "every_statement_under_its_own_fingerprint",
    "a_dump_is_flagged_while_it_streams",
    "check_knows_this_kernels_rung",
];

/// Runs [`SMOKE`] on [`SMOKE_KERNELS`].
pub fn smoke(progress: &Progress, sensor: &Path) -> Result<()> {
    let plan = Plan {
        files: ["exactness", "alerts", "host"].map(str::to_owned).to_vec(),
        arguments: SMOKE.map(str::to_owned).to_vec(),
        limit: Duration::from_secs(600),
        ..Plan::default()
    };
    signal::catch();
    run(progress, &SMOKE_KERNELS, &plan, sensor)
}

/// See [`SMOKE`].
const SMOKE_KERNELS: [Version; 2] = [Version::V6_1, Version::V6_12];

/// What is run on each kernel.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Names of test files; empty for all.
    pub files: Vec<String>,
    /// Further arguments of each file's runner.
    pub arguments: Vec<String>,
    /// See [`Arguments::hooks`].
    pub hooks: Option<String>,
    /// See [`Arguments::append`].
    pub append: Option<String>,
    /// How long it may take.
    pub limit: Duration,
}

/// Runs the tests on each kernel; an error when one of them fails.
pub fn vm(arguments: &Arguments) -> Result<()> {
    workspace::require_root_and_btf("vm")?;
    let progress = Progress::new();
    setup::install(&progress, For::Test)?;
    let sensor = match std::env::var_os("SENSOR_BIN") {
        Some(sensor) => PathBuf::from(sensor),
        None => build::release(&progress)?,
    };
    let mut versions: Vec<Version> = arguments
        .kernel
        .iter()
        .flat_map(|choice| choice.versions())
        .copied()
        .collect();
    versions.dedup();
    let names = guest::test_names();
    let (files, more) = arguments
        .tests
        .iter()
        .cloned()
        .partition(|argument| names.contains(argument));
    let plan = Plan {
        files,
        arguments: more,
        hooks: arguments.hooks.clone(),
        append: arguments.append.clone(),
        limit: Duration::from_secs(60 * arguments.limit),
    };
    signal::catch();
    run(&progress, &versions, &plan, &sensor)
}

/// Runs a plan on each of these kernels, one after the other, all of them even when one fails.
pub fn run(progress: &Progress, versions: &[Version], plan: &Plan, sensor: &Path) -> Result<()> {
    let mut tests = Vec::new();
    progress.loud("cargo test --no-run -p integration-tests", || {
        tests = binaries(&plan.files)?;
        Ok(String::new())
    })?;
    let mut accelerator = Accelerator::Emulation;
    let mut report = Vec::new();
    for version in versions {
        let mut image = None;
        progress.quiet(
            &format!("Linux {version}, from Debian {}", version.suite()),
            || {
                let (found, note) = kernel::image(*version)?;
                image = Some(found);
                Ok(note)
            },
        )?;
        let image = image.context("no kernel")?;
        if report.is_empty() {
            progress.quiet("virtual machine", || {
                accelerator = machine::accelerator(&image)?;
                Ok(accelerator.to_string())
            })?;
        }
        let mut summary = Summary::default();
        let result = progress.loud(&format!("tests on Linux {version}"), || {
            let script = guest::script(&tests, plan, sensor, accelerator)?;
            let log = workspace::directory(&workspace::logs())?.join(format!("vm-{version}.log"));
            let outcome = machine::run(&image, &script, accelerator, plan, &log)?;
            summary = outcome;
            summary.verdict(&log)
        });
        report.push((*version, summary, result));
        signal::check()?;
    }
    let mut failed = false;
    for (version, summary, result) in report {
        let text = match &result {
            Ok(()) => format!("ok: {summary}"),
            Err(error) => {
                failed = true;
                format!("FAILED: {summary}: {:#}", error.root_cause())
            }
        };
        eprintln!(
            "Linux {version:<5} {} {text}",
            progress::duration(summary.took)
        );
    }
    if failed {
        bail!(
            "tests failed on another kernel: the logs are in {}",
            workspace::logs().display()
        );
    }
    Ok(())
}

/// Builds the test binaries: name and path of each.
fn binaries(files: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let mut cargo = command::cargo();
    cargo.args([
        "test",
        "--no-run",
        "--package",
        "integration-tests",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let messages = command::shown_cargo(&mut cargo, Stdio::piped())?;
    guest::test_names()
        .into_iter()
        .filter(|name| files.is_empty() || files.contains(name))
        .map(|name| {
            let path = build::executable(&messages, &name)
                .with_context(|| format!("cargo built no test file `{name}`"))?;
            Ok((name, path))
        })
        .collect()
}
