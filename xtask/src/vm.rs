//! `cargo xtask vm`: the integration tests on other kernels, each booted in QEMU on this machine's own files.
//!
//! The guest's root is this machine's, read-only by 9p, under an overlay in memory: the sensor, PostgreSQL, the clients
//! and the tests are the same files at the same paths as for the tests on the live kernel. Only the kernel is another.

use std::{
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build, command, cross,
    progress::{self, Progress},
    setup::{self, For},
    signal, workspace,
};

mod cluster;
mod guest;
mod initramfs;
mod kernel;
mod machine;
mod processor;
mod results;
mod root;

use kernel::Image;
pub use kernel::Version;
use machine::Accelerator;
use processor::Processor;
use results::Summary;

/// Arguments of `cargo xtask vm`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which kernels.
    #[arg(long, value_name = "VERSION", required = true, num_args = 1..)]
    kernel: Vec<Choice>,
    /// Processor of the guest: another than this machine's is slower still.
    #[arg(long, value_enum, default_value_t)]
    processor: Processor,
    /// Hooks that the sensor is made to use, instead of the best ones that the kernel has; with several, the tests are run
    /// with each.
    #[arg(long, value_name = "FAMILY", value_delimiter = ',')]
    hooks: Vec<String>,
    /// Minutes that one kernel's tests may take.
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    limit: u64,
    /// Guests that run at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = AT_ONCE)]
    at_once: NonZeroUsize,
    /// Processors of each guest: two with KVM, one without, unless this says another number.
    #[arg(long, value_name = "NUMBER")]
    processors: Option<NonZeroUsize>,
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

/// Tests that are run on other kernels with every `cargo xtask test`: on three of them, one for each rung of the ladder of
/// hooks, within some minutes without KVM. `cargo xtask vm --kernel all` runs all tests on all of them.
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
        hooks: Vec::new(),
        append: None,
        processor: Processor::default(),
        processors: None,
        limit: Duration::from_secs(900),
        at_once: AT_ONCE,
    };
    signal::catch();
    run(progress, &SMOKE_KERNELS, &plan, sensor)
}

/// See [`SMOKE`].
const SMOKE_KERNELS: [Version; 3] = [Version::V5_10, Version::V6_1, Version::V6_12];

/// What is run on each kernel.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names of test files; empty for all.
    pub files: Vec<String>,
    /// Further arguments of each file's runner.
    pub arguments: Vec<String>,
    /// See [`Arguments::hooks`].
    pub hooks: Vec<String>,
    /// See [`Arguments::append`].
    pub append: Option<String>,
    /// See [`Arguments::processor`].
    pub processor: Processor,
    /// See [`Arguments::processors`].
    pub processors: Option<NonZeroUsize>,
    /// How long it may take.
    pub limit: Duration,
    /// See [`Arguments::at_once`].
    pub at_once: NonZeroUsize,
}

/// Runs the tests on each kernel; an error when one of them fails.
pub fn vm(arguments: &Arguments) -> Result<()> {
    workspace::require_root_and_btf("vm")?;
    let progress = Progress::new();
    setup::install(&progress, For::Test)?;
    if arguments.processor == Processor::Aarch64 {
        progress.quiet("emulator for aarch64", setup::cross::emulator)?;
    }
    let sensor = match (std::env::var_os("SENSOR_BIN"), arguments.processor) {
        (Some(sensor), _) => std::path::absolute(&sensor)
            .with_context(|| format!("SENSOR_BIN={}: no path", sensor.display()))?,
        (None, Processor::X86_64) => build::release(&progress)?,
        (None, Processor::Aarch64) => cross::build(&progress)?,
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
        // As `cargo test` wants it, before the name of a file.
        .filter(|argument| *argument != "--test")
        .cloned()
        .partition(|argument| names.contains(argument));
    let plan = Plan {
        files,
        arguments: more,
        hooks: arguments.hooks.clone(),
        append: arguments.append.clone(),
        processor: arguments.processor,
        processors: arguments.processors,
        limit: Duration::from_secs(60 * arguments.limit),
        at_once: arguments.at_once,
    };
    signal::catch();
    run(&progress, &versions, &plan, &sensor)
}

/// Runs a plan on each of these kernels, all of them even when one fails.
pub fn run(progress: &Progress, versions: &[Version], plan: &Plan, sensor: &Path) -> Result<()> {
    let mut tests = Vec::new();
    progress.loud("cargo test --no-run -p integration-tests", || {
        tests = binaries(plan)?;
        Ok(String::new())
    })?;
    let mut cluster = PathBuf::new();
    progress.quiet("PostgreSQL cluster for the guests", || {
        cluster = cluster::template()?;
        Ok(String::new())
    })?;
    progress.quiet("root of the guests", || root::make(plan.processor))?;
    let mut report = Vec::new();
    let mut images = Vec::new();
    for version in versions {
        let fetched = progress.quiet(
            &format!("Linux {version}, from Debian {}", version.suite()),
            || {
                let (image, note) = kernel::image(*version, plan.processor)?;
                images.push((*version, image));
                Ok(note)
            },
        );
        // The others are tried all the same.
        if let Err(error) = fetched {
            report.push(Outcome::without(*version, error));
        }
        signal::check()?;
    }
    let mut accelerator = Accelerator::Emulation;
    if let Some((_, image)) = images.first()
        && plan.processor == Processor::X86_64
    {
        progress.quiet("virtual machine", || {
            accelerator = machine::accelerator(image)?;
            Ok(accelerator.to_string())
        })?;
    }
    let script = guest::script(&tests, plan, sensor, &cluster, accelerator)?;
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..plan.at_once.get().min(images.len()) {
            scope.spawn(|| {
                while let Some((version, image)) = images.get(next.fetch_add(1, Ordering::Relaxed))
                    && !signal::interrupted()
                {
                    let outcome = one(progress, *version, image, &script, accelerator, plan);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    signal::check()?;
    report.extend(outcomes.into_inner().unwrap_or_default());
    report.sort_by_key(|outcome| outcome.version as u8);
    for outcome in &report {
        eprintln!("{outcome}");
    }
    if report.len() < versions.len() || report.iter().any(|outcome| outcome.result.is_err()) {
        bail!(
            "tests failed on another kernel: the logs are in {}",
            workspace::logs().display()
        );
    }
    Ok(())
}

/// See [`Arguments::at_once`].
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");

/// How it went on one kernel.
struct Outcome {
    version: Version,
    summary: Summary,
    result: Result<()>,
}

impl Outcome {
    /// Of a kernel that could not be had.
    fn without(version: Version, error: anyhow::Error) -> Self {
        Self {
            version,
            summary: Summary::default(),
            result: Err(error),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = progress::duration(self.summary.took);
        write!(f, "Linux {:<5} {took} ", self.version)?;
        match &self.result {
            Ok(()) => write!(f, "ok: {}", self.summary),
            Err(error) => write!(f, "FAILED: {}: {:#}", self.summary, error.root_cause()),
        }
    }
}

fn one(
    progress: &Progress,
    version: Version,
    image: &Image,
    script: &str,
    accelerator: Accelerator,
    plan: &Plan,
) -> Outcome {
    let mut summary = Summary::default();
    let result = progress.loud(&format!("tests on Linux {version}"), || {
        let name = format!("{version}{}", plan.processor.suffix());
        let log = workspace::directory(&workspace::logs())?.join(format!("vm-{name}.log"));
        summary = machine::run(&name, image, script, accelerator, plan, &log)?;
        summary.verdict(&log)
    });
    Outcome {
        version,
        summary,
        result,
    }
}

/// Builds the test binaries: name and path of each.
fn binaries(plan: &Plan) -> Result<Vec<(String, PathBuf)>> {
    let mut cargo = match plan.processor.target() {
        None => command::cargo(),
        Some(_) => cross::cargo()?,
    };
    cargo.args(["test", "--no-run", "--package", "integration-tests"]);
    if let Some(target) = plan.processor.target() {
        cargo.args(["--profile", cross::PROFILE, "--target", target]);
    }
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let messages = command::shown_cargo(&mut cargo, Stdio::piped())?;
    let files = &plan.files;
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
