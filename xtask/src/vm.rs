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
mod smoke;

pub use kernel::Version;
pub use smoke::smoke;
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
    /// Without KVM, as on machines that have none.
    #[arg(long)]
    without_kvm: bool,
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

/// What is run where there is no KVM.
#[derive(Clone, Debug, Default)]
pub enum WithoutKvm {
    /// The same.
    #[default]
    Same,
    /// Tests of these names.
    Only(Vec<String>),
    /// Nothing: it would take too long.
    Nothing,
}

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
    /// What is run instead where there is no KVM.
    pub without_kvm: WithoutKvm,
}

impl Plan {
    /// What tells it from others on the same kernel.
    fn differences(&self) -> String {
        let hooks = self.hooks.as_ref().map(|hooks| format!(", hooks {hooks}"));
        let append = self.append.as_ref().map(|append| format!(", {append}"));
        hooks.into_iter().chain(append).collect()
    }
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
        without_kvm: WithoutKvm::Same,
    };
    let runs: Vec<_> = versions
        .into_iter()
        .map(|version| (version, plan.clone()))
        .collect();
    signal::catch();
    run(&progress, &runs, &sensor, arguments.without_kvm)
}

/// How one run went.
enum Outcome {
    Passed,
    Failed(String),
    Skipped,
}

/// Runs each plan on its kernel, one after the other, all of them even when one fails.
pub fn run(
    progress: &Progress,
    runs: &[(Version, Plan)],
    sensor: &Path,
    without_kvm: bool,
) -> Result<()> {
    let mut tests = Vec::new();
    progress.loud("cargo test --no-run -p integration-tests", || {
        tests = binaries()?;
        Ok(String::new())
    })?;
    let mut accelerator = without_kvm.then_some(Accelerator::Emulation);
    let mut report = Vec::new();
    for (version, plan) in runs {
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
        if accelerator.is_none() {
            progress.quiet("virtual machine", || {
                let found = machine::accelerator(&image)?;
                accelerator = Some(found);
                Ok(found.to_string())
            })?;
        }
        let accelerator = accelerator.context("no machine")?;
        let label = format!("Linux {version}{}", plan.differences());
        let mut summary = Summary::default();
        let mut plan = plan.clone();
        if accelerator == Accelerator::Emulation {
            match &plan.without_kvm {
                WithoutKvm::Same => {}
                WithoutKvm::Only(tests) => plan.arguments.clone_from(tests),
                WithoutKvm::Nothing => {
                    report.push((label, summary, Outcome::Skipped));
                    continue;
                }
            }
        }
        let chosen: Vec<_> = tests
            .iter()
            .filter(|(name, _)| plan.files.is_empty() || plan.files.contains(name))
            .cloned()
            .collect();
        let result = progress.loud(&format!("tests on {label}"), || {
            let script = guest::script(&chosen, &plan, sensor, accelerator)?;
            let log = workspace::directory(&workspace::logs())?
                .join(format!("vm-{}.log", file_name(&label)));
            summary = machine::run(&image, &script, accelerator, &plan, &log)?;
            summary.verdict(&log)
        });
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(format!("{:#}", error.root_cause())),
        };
        report.push((label, summary, outcome));
        signal::check()?;
    }
    conclusion(&report)
}

/// Says how all runs went; an error when one of them failed, or when none ran.
fn conclusion(report: &[(String, Summary, Outcome)]) -> Result<()> {
    let mut failed = false;
    let mut skipped = 0;
    for (label, summary, outcome) in report {
        let text = match outcome {
            Outcome::Passed => format!("ok: {summary}"),
            Outcome::Failed(why) => {
                failed = true;
                format!("FAILED: {summary}: {why}")
            }
            Outcome::Skipped => {
                skipped += 1;
                "SKIPPED: no KVM on this machine, and without it this takes too long".to_owned()
            }
        };
        eprintln!("{label} {} {text}", progress::duration(summary.took));
    }
    eprintln!(
        "{} runs on other kernels, {skipped} of them skipped",
        report.len()
    );
    if failed {
        bail!(
            "tests failed on another kernel: the logs are in {}",
            workspace::logs().display()
        );
    }
    if skipped == report.len() {
        bail!("no test ran on another kernel");
    }
    Ok(())
}

/// A label as a file's name.
fn file_name(label: &str) -> String {
    let text = label.trim_start_matches("Linux ");
    text.chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() || one == '.' {
                one
            } else {
                '-'
            }
        })
        .collect()
}

/// Builds the test binaries: name and path of each.
fn binaries() -> Result<Vec<(String, PathBuf)>> {
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
        .map(|name| {
            let path = build::executable(&messages, &name)
                .with_context(|| format!("cargo built no test file `{name}`"))?;
            Ok((name, path))
        })
        .collect()
}
