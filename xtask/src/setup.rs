//! `cargo xtask setup`: installs what is missing, and only that. Run again, it finds all there.

use std::path::PathBuf;

use anyhow::Result;

use crate::{packages, progress::Progress};

mod clients;
pub mod cross;
mod debian;
pub mod fuzz;
mod linker;
mod program;
mod toolchain;

pub use toolchain::chosen as kernel_toolchain;

/// Arguments of `cargo xtask setup`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Also what this needs.
    #[arg(long = "for", value_enum, default_value_t = For::Build)]
    purpose: For,
}

/// What a machine is set up for. All include `Build`, and `Bench` and `Test` include all demos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum For {
    /// Compilers and linker.
    Build,
    /// The same for another processor.
    Cross,
    /// A PostgreSQL server.
    Demo,
    /// A MariaDB server, too.
    DemoMariadb,
    /// A Redis server, too.
    DemoRedis,
    /// What the sensor is compared with.
    Bench,
    /// The clients of the integration tests, virtual machines, and compilers for the other processor.
    Test,
}

/// Installs what is missing.
pub fn setup(arguments: &Arguments) -> Result<()> {
    let progress = Progress::new();
    install(&progress, arguments.purpose)?;
    eprintln!("everything is there {}", progress.total());
    Ok(())
}

/// Installs what fuzzers are built with.
pub fn fuzzers(progress: &Progress) -> Result<()> {
    let needs = [packages::BUILD, packages::FUZZ].concat();
    progress.quiet("Debian packages", || debian::install(&needs))?;
    progress.quiet("Rust toolchain for the kernel programs", toolchain::install)?;
    progress.quiet("cargo-fuzz", fuzz::install)
}

/// Installs a trace page and a browser; returns the Python that has the page.
pub fn trace_page(progress: &Progress) -> Result<PathBuf> {
    progress.quiet("browser", || debian::install(packages::BROWSER))?;
    progress.quiet("trace page", clients::trace_page)?;
    Ok(clients::trace_page_python())
}

/// Installs what is missing, as part of another verb.
pub fn install(progress: &Progress, purpose: For) -> Result<()> {
    let mut needs = packages::BUILD.to_vec();
    let cross = matches!(purpose, For::Cross | For::Test);
    if cross {
        needs.extend(packages::CROSS);
    }
    if purpose >= For::Demo {
        needs.extend(packages::POSTGRESQL);
    }
    let all = matches!(purpose, For::Bench | For::Test);
    if all || purpose == For::DemoMariadb {
        needs.extend(packages::MARIADB);
    }
    if all || purpose == For::DemoRedis {
        needs.extend(packages::REDIS);
    }
    if purpose == For::Bench {
        needs.extend(packages::PEERS);
    }
    if purpose >= For::Test {
        needs.extend(packages::CLIENTS);
        needs.extend(packages::VIRTUAL_MACHINES);
    }
    progress.quiet("Debian packages", || debian::install(&needs))?;
    progress.quiet("Rust toolchain for the kernel programs", toolchain::install)?;
    progress.quiet("bpf-linker", linker::install)?;
    if cross {
        progress.quiet("Rust for aarch64", cross::install)?;
    }
    if purpose >= For::Test {
        progress.quiet("Python clients", clients::python)?;
        progress.quiet("Node clients", clients::node)?;
        progress.quiet("Prometheus", clients::prometheus)?;
        progress.quiet("Valkey", clients::valkey)?;
        progress.quiet("MySQL's own server", clients::mysql)?;
    }
    Ok(())
}
