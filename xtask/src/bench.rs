//! `cargo xtask bench`: what the sensor costs a database, measured so that anybody can repeat it.

use anyhow::Result;
use clap::Subcommand;

mod alternate;
mod bed;
mod bpf;
mod fixture;
mod growth;
mod kernel_time;
mod latency;
mod load;
mod machine;
mod overhead;
mod picture;
mod programs;
mod redis_benchmark;
mod report;
mod soak;
mod statistics;
mod switch;
mod sysbench;
mod tool;
mod turn;
mod variant;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Throughput kept with the sensor, and with what people use instead, by slices in turn: on, off, off, on, …
    ///
    /// Takes an hour in full. What is made of programs on sockets is attached and detached every 25 ms under a load that
    /// never stops, and ten seconds of that are a pair; others have slices of two seconds. Each pair gives a ratio; the
    /// table has their median and its 95 % interval by order statistics. The run time of kernel programs, which costs
    /// something to count, is counted in slices of its own.
    Overhead(overhead::Arguments),
    /// Nanoseconds a query that the sensor's kernel programs take, beside empty ones that are attached at the same time.
    KernelTime(kernel_time::Arguments),
    /// How long until a crossed limit is an alert, under full load.
    Latency(latency::Arguments),
    /// Mixed load for an hour, with connections, users and statements that come and go: memory, and losses.
    Soak(soak::Arguments),
    /// What a record costs userspace, by connections, statements and principals; and by step.
    Growth,
}

/// Runs one.
pub fn bench(arguments: &Arguments) -> Result<()> {
    match &arguments.verb {
        Verb::Overhead(arguments) => overhead::overhead(arguments),
        Verb::KernelTime(arguments) => kernel_time::kernel_time(arguments),
        Verb::Latency(arguments) => latency::latency(arguments),
        Verb::Soak(arguments) => soak::soak(arguments),
        Verb::Growth => growth::growth(),
    }
}
