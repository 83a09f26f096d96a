//! `cargo xtask VERB`: set-up, build, demo, test and run of the sensor. One file a verb.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod apt;
mod bench;
mod build;
mod ci;
mod command;
mod cross;
mod demo;
mod eval;
mod fuzz;
mod look;
mod mariadb;
mod packages;
mod postgresql;
mod progress;
mod redis;
mod run;
mod setup;
mod signal;
mod test;
mod throwaway;
mod unpacked;
mod vm;
mod workspace;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
/// Set-up, build, demo, test and run of the sensor.
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install what is missing on this machine; does nothing where all is there.
    Setup(setup::Arguments),
    /// Build target/release/sensor, kernel programs included.
    Build(build::Arguments),
    /// Build, then run the sensor in place of this process.
    Run(run::Arguments),
    /// Play a day of a support team on a throwaway database server, with an insider, and check the sensor's numbers.
    Demo(demo::Arguments),
    /// Build the sensor for aarch64, to see that it builds.
    Cross,
    /// Formatting, lints, documentation, build and all tests.
    Test(test::Arguments),
    /// Measure what the sensor costs a database.
    Bench(bench::Arguments),
    /// Measure the detector: a simulated support desk with thieves in it, beside what others use.
    Eval(eval::Arguments),
    /// Show a session and an alert to a trace page, and take pictures of it.
    Look,
    /// Run the integration tests on other kernels, in a virtual machine.
    Vm(vm::Arguments),
    /// Feed made-up input to every parser, two at a time, and fail on the first that does something wrong.
    Fuzz(fuzz::Arguments),
    /// What continuous integration runs: `test`, then `fuzz`.
    Ci,
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Setup(arguments) => setup::setup(&arguments),
        Verb::Build(arguments) => build::build(&arguments).map(drop),
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Demo(arguments) => demo::demo(&arguments),
        Verb::Cross => cross::cross(),
        Verb::Test(arguments) => test::test(&arguments),
        Verb::Bench(arguments) => bench::bench(&arguments),
        Verb::Eval(arguments) => eval::eval(&arguments),
        Verb::Look => look::look(),
        Verb::Vm(arguments) => vm::vm(&arguments),
        Verb::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Verb::Ci => ci::ci(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
