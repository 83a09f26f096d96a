//! Command line: one file a verb.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

mod alerts;
mod allocator;
mod check;
mod history;
mod judge;
mod live;
mod lock;
mod place;
mod replay;
mod run;
mod top;
mod tune;

/// Watches who reads how much of the databases on this host, in the kernel.
#[derive(Debug, Parser)]
#[command(name = "sensor", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Watch until SIGINT or SIGTERM.
    Run(RunArguments),
    /// Look at what a running sensor sees, live.
    Top(top::TopArguments),
    /// Say what this kernel and host offer, and what would be watched.
    Check(CheckArguments),
    /// Run the detector over the history, or over a file of events; print the alerts.
    Replay(replay::ReplayArguments),
    /// Ask the history: who read what.
    History {
        #[command(subcommand)]
        verb: history::HistoryVerb,
    },
    /// What was told, why, and what to say of it.
    Alerts {
        #[command(subcommand)]
        verb: alerts::AlertsVerb,
    },
    /// Propose limits for a wanted rate of alerts, from the history.
    Tune(tune::TuneArguments),
    /// Validate or print configuration.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print a commented example that says what the defaults are.
    Example,
    /// Say whether a file is valid.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// Arguments of `sensor run`.
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// Configuration file (TOML); read again when it changes.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write OpenTelemetry JSON lines to this file.
    #[arg(long, value_name = "PATH")]
    otlp_file: Option<PathBuf>,
    /// Send to this OpenTelemetry endpoint (http://host:4317 gRPC, http://host:4318 HTTP).
    /// Wins over the file and over OTEL_EXPORTER_OTLP_ENDPOINT.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Show a live table of principals on standard output.
    #[arg(long)]
    console: bool,
    /// Become this user once the kernel programs are loaded; its files must be writable to it.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Load the programs on sockets, but leave it to another process to attach them: for benchmarks, which attach and
    /// detach them every few milliseconds.
    #[arg(long, hide = true)]
    detached: bool,
}

/// Arguments of `sensor check`.
#[derive(Debug, clap::Args)]
struct CheckArguments {
    /// For machines: one JSON document.
    #[arg(long)]
    json: bool,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Usage or configuration is wrong.
const USAGE: u8 = 2;
/// Something failed at run time.
const FAILURE: u8 = 1;

/// Runs the verb that the command line names. Exits 0, 1 on run-time failures, 2 on usage and configuration errors.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .format(|out, record| {
            writeln!(
                out,
                "sensor: {}: {}",
                record.level().as_str().to_lowercase(),
                record.args()
            )
        })
        .init();
    // clap exits 2 on usage errors itself.
    let cli = Cli::parse();
    match cli.verb {
        Verb::Run(arguments) => finish(run::run(&arguments)),
        Verb::Top(arguments) => finish(top::top(&arguments)),
        Verb::Check(arguments) => match load(arguments.config.as_deref()) {
            Ok(config) => check::check(&config, arguments.json),
            Err(error) => finish(Err(error)),
        },
        Verb::Replay(arguments) => finish(replay::replay(&arguments)),
        Verb::History { verb } => finish(history::history(&verb)),
        Verb::Alerts { verb } => finish(alerts::alerts(&verb)),
        Verb::Tune(arguments) => finish(tune::tune(&arguments)),
        Verb::Config { verb } => match verb {
            ConfigVerb::Example => {
                let _ = write!(std::io::stdout(), "{}", crate::config::EXAMPLE);
                ExitCode::SUCCESS
            }
            ConfigVerb::Check { file } => finish(load(Some(&file)).map(|_| {
                let _ = writeln!(std::io::stdout(), "{} is valid", file.display());
            })),
        },
    }
}

/// Why a verb ended.
#[derive(Debug)]
enum Failure {
    /// The caller's doing: exit code 2.
    Usage(String),
    /// The host's: exit code 1.
    Runtime(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    let (code, message) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => (USAGE, message),
        Err(Failure::Runtime(error)) => (FAILURE, format!("{error:#}")),
    };
    let _ = writeln!(std::io::stderr(), "sensor: error: {message}");
    ExitCode::from(code)
}

/// Loads a configuration, the defaults when there is no file; warnings go to the log.
fn load(path: Option<&std::path::Path>) -> Result<crate::config::Config, Failure> {
    let config = match path {
        None => crate::config::Config::default(),
        Some(path) => {
            crate::config::Config::load(path).map_err(|error| Failure::Usage(error.to_string()))?
        }
    };
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    Ok(config)
}
