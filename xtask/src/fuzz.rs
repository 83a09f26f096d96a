//! `cargo xtask fuzz`: made-up input for every parser, for a while each, two at a time. What must hold of it stands in
//! `tests/properties`, the fuzzers in `tests/fuzz`; docs/decisions/fuzzing.md says more.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    command,
    progress::{Progress, thousands},
    setup::{self, fuzz::Compiler},
    workspace,
};

/// Fuzzers that run at a time.
const AT_A_TIME: usize = 2;
/// Longest input: a few of the kernel's pieces of 8 KiB.
const LONGEST: usize = 32 << 10;
/// An input that takes so many seconds is a failure …
const PATIENCE: u32 = 10;
/// … as is one that takes so many MiB of memory.
const MEMORY: u32 = 2048;

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How long each fuzzer runs.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Seconds for all of it, set-up and build included: where they do not suffice, it is said, and no fuzzer runs.
    #[arg(long)]
    within: Option<u64>,
    /// Draw the same each time, and begin with the seeds in tests/fuzz alone, not with what was found before.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seed: Option<u32>,
    /// Those of tests/fuzz/fuzz_targets; all when none is named.
    targets: Vec<String>,
}

/// Sets up what it takes, builds, and runs.
pub fn fuzz(arguments: &Arguments) -> Result<()> {
    let began = Instant::now();
    let progress = Progress::new();
    let targets = chosen(&arguments.targets)?;
    setup::fuzzers(&progress)?;
    let turns = targets.len().div_ceil(AT_A_TIME);
    let run_time = Duration::from_secs(turns as u64 * u64::from(arguments.seconds));
    // In whole seconds, as `timeout` takes them: it must not end a build before its time is over.
    let patience = arguments.within.map(|within| {
        let rest = Duration::from_secs(within).saturating_sub(began.elapsed() + run_time);
        Duration::from_secs(rest.as_secs().max(1))
    });
    let Some(binaries) = build(&progress, &targets, patience)? else {
        progress.loud("fuzz", || {
            Ok("NOT RUN: building took longer than there was time for it".to_owned())
        })?;
        return Ok(());
    };
    let what = format!(
        "fuzz {} for {} s each",
        targets.join(" "),
        arguments.seconds
    );
    progress.loud(&what, || {
        let waiting = Mutex::new(targets.iter());
        let failures = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                scope.spawn(|| {
                    while let Some(target) = next(&waiting) {
                        match run(&binaries, target, arguments) {
                            Ok(note) => eprintln!("  {target}: {note}"),
                            Err(error) => {
                                eprintln!("  {target}: failed");
                                lock(&failures).push(error);
                            }
                        }
                    }
                });
            }
        });
        let failures = failures.into_inner().unwrap_or_default();
        if failures.is_empty() {
            return Ok(String::new());
        }
        let told: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
        Err(anyhow!("{}", told.join("\n")))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn next<'a>(waiting: &Mutex<impl Iterator<Item = &'a String>>) -> Option<&'a String> {
    lock(waiting).next()
}

fn place() -> PathBuf {
    workspace::root().join("tests/fuzz")
}

/// The targets to run.
fn chosen(named: &[String]) -> Result<Vec<String>> {
    let folder = place().join("fuzz_targets");
    let mut known: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    known.sort();
    if let Some(unknown) = named.iter().find(|name| !known.contains(name)) {
        bail!(
            "there is no fuzzer {unknown}\nthere are: {}",
            known.join(" ")
        );
    }
    Ok(if named.is_empty() {
        known
    } else {
        named.to_vec()
    })
}

/// Builds them; the folder that they are in. Nothing when that takes longer than `patience`.
fn build(
    progress: &Progress,
    targets: &[String],
    patience: Option<Duration>,
) -> Result<Option<PathBuf>> {
    let manifest = place().join("Cargo.toml");
    progress.quiet("versions of what fuzzers are built of", || {
        let mut metadata = command::command("cargo");
        metadata
            .args(["metadata", "--locked", "--format-version", "1"])
            .arg("--manifest-path")
            .arg(&manifest);
        command::output(&mut metadata).map(|_| String::new()).context(
            "tests/fuzz/Cargo.lock is not as the manifests want it\n\
             do: cargo metadata --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null, and commit the file",
        )
    })?;
    let compiler = Compiler::find()?;
    let folder = workspace::fuzz().join("build");
    let began = Instant::now();
    let built = progress.loud("build fuzzers", || {
        let mut cargo = cargo(&compiler, &folder, patience)?;
        // One alone need not wait for the others.
        if let [target] = targets {
            cargo.arg(target);
        }
        command::shown_cargo(&mut cargo, Stdio::inherit())
    });
    let in_vain = patience.is_some_and(|patience| began.elapsed() >= patience);
    match built {
        Err(_) if in_vain => Ok(None),
        Err(error) => Err(error),
        Ok(_) => Ok(Some(folder.join(&compiler.target).join("release"))),
    }
}

fn cargo(compiler: &Compiler, folder: &Path, patience: Option<Duration>) -> Result<Command> {
    let mut path = vec![setup::fuzz::folder()];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let mut cargo = match patience {
        None => command::command("cargo"),
        // It ends what cargo has started, too.
        Some(patience) => {
            let mut timeout = command::command("timeout");
            timeout.args([&patience.as_secs().to_string(), "cargo"]);
            timeout
        }
    };
    cargo
        .current_dir(workspace::root())
        .env("PATH", std::env::join_paths(path)?)
        .arg(format!("+{}", compiler.toolchain))
        .args(["fuzz", "build", "--fuzz-dir", "tests/fuzz"])
        .args(["--target", &compiler.target, "--target-dir"])
        .arg(folder)
        .args(["--sanitizer", sanitizer(compiler)]);
    if compiler.is_stable {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    Ok(cargo)
}

fn sanitizer(compiler: &Compiler) -> &'static str {
    if compiler.has_sanitizer {
        "address"
    } else {
        "none"
    }
}

/// Runs one; what there is to say of it.
fn run(binaries: &Path, target: &str, arguments: &Arguments) -> Result<String> {
    let binary = binaries.join(target);
    let seeds = place().join("seeds").join(target);
    let of = |kind: &str| workspace::fuzz().join(kind).join(target);
    let findings = of("findings");
    let corpus = if arguments.seed.is_some() {
        let fresh = of("fresh");
        workspace::empty(&fresh)?;
        fresh
    } else {
        let corpus = of("corpus");
        workspace::directory(&corpus)?;
        corpus
    };
    workspace::directory(&findings)?;
    let before = files(&findings);
    let log = workspace::directory(&workspace::logs())?.join(format!("fuzz-{target}.log"));
    let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let errors = output
        .try_clone()
        .with_context(|| format!("cannot share {}", log.display()))?;
    let mut fuzzer = command::command(&binary);
    fuzzer
        .arg(format!("-max_total_time={}", arguments.seconds))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-timeout={PATIENCE}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg("-print_final_stats=1");
    if let Some(seed) = arguments.seed {
        fuzzer.arg(format!("-seed={seed}"));
    }
    let dictionary = place().join("dictionaries").join(format!("{target}.dict"));
    if dictionary.is_file() {
        fuzzer.arg(format!("-dict={}", dictionary.display()));
    }
    // What is new goes to the first.
    fuzzer.arg(&corpus).arg(&seeds);
    let status = fuzzer
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    if status.success() {
        return Ok(told(&log));
    }
    let found: Vec<PathBuf> = files(&findings)
        .into_iter()
        .filter(|file| !before.contains(file))
        .collect();
    let Some(input) = found.first() else {
        bail!(
            "fuzzer {target} ended ({status})\n{}the whole log: {}",
            command::tail(&log),
            log.display()
        );
    };
    bail!(
        "fuzzer {target} found an input of which something does not hold\n{}the whole log: {}\n\
         the input: {}\nagain: {} {}\n\
         once it holds: cp {} {}/, which `cargo xtask test` checks from then on",
        reason(&log),
        log.display(),
        input.display(),
        binary.display(),
        input.display(),
        input.display(),
        seeds.display()
    )
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

/// What failed, by the log's own words.
fn reason(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let begins = |line: &&str| {
        line.contains(" panicked at ") || line.contains("ERROR: ") || line.contains("ALARM: ")
    };
    let Some(at) = text.lines().position(|line| begins(&line)) else {
        return command::tail(log);
    };
    text.lines()
        .skip(at)
        .take(4)
        .map(|line| format!("  | {line}\n"))
        .collect()
}

/// How many inputs it tried, and what they reached.
fn told(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let number = |name: &str| -> u64 {
        text.lines()
            .filter_map(|line| line.strip_prefix(name))
            .next_back()
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or(0)
    };
    format!(
        "{} inputs, {} of them kept",
        thousands(number("stat::number_of_executed_units:")),
        thousands(number("stat::new_units_added:"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fuzzer_has_seeds() {
        let targets = chosen(&[]).expect("targets");
        assert!(!targets.is_empty());
        for target in targets {
            let seeds = place().join("seeds").join(&target);
            assert!(!files(&seeds).is_empty(), "{target} has no seed");
        }
    }

    #[test]
    fn unknown_fuzzers_are_refused() {
        let error = chosen(&["nothing".to_owned()]).expect_err("no fuzzer");
        assert!(error.to_string().contains("there are: "), "{error}");
    }

    #[test]
    fn reports_are_taken_from_logs() {
        let folder = std::env::temp_dir().join(format!("xtask-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("folder");
        let log = folder.join("log");
        fs::write(
            &log,
            "INFO: x\nthread '<unnamed>' panicked at a.rs:1:2:\nleft\nright\n\
             stat::number_of_executed_units: 12345\nstat::new_units_added:          17\n",
        )
        .expect("log");
        assert_eq!(told(&log), "12,345 inputs, 17 of them kept");
        assert!(
            reason(&log).starts_with("  | thread '<unnamed>' panicked at a.rs:1:2:\n  | left\n")
        );
        fs::remove_dir_all(&folder).expect("removed");
    }
}
