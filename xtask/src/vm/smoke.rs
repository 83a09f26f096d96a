//! What every `cargo xtask test` runs on other kernels: some minutes with KVM.

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::{Plan, Version, WithoutKvm, run};
use crate::{progress::Progress, signal};

/// One run.
struct Run {
    version: Version,
    hooks: Option<&'static str>,
    append: Option<&'static str>,
    files: &'static [&'static str],
    tests: &'static [&'static str],
    /// Of these, what is run without KVM.
    without_kvm: &'static [&'static str],
}

/// Statements of every kind, each with the rows and bytes that the server and the clients counted.
const EXACT: &str = "every_statement_under_its_own_fingerprint";
/// The rung that is chosen.
const RUNG: &str = "check_knows_this_kernels_rung";

/// A run on the hooks that the kernel offers.
const PLAIN: Run = Run {
    version: Version::V6_1,
    hooks: None,
    append: None,
    files: &["exactness", "host"],
    tests: &[
        EXACT,
        RUNG,
        "a_local_client_is_known",
        "capabilities_are",
        "each_rung_is_there",
    ],
    without_kvm: &[EXACT, RUNG],
};

/// `cargo xtask vm --kernel all` runs all tests on all kernels.
const RUNS: [Run; 6] = [
    // fexit.
    Run {
        files: &["exactness", "host", "alerts"],
        ..PLAIN
    },
    // tp_btf, where the stack of nested calls is small.
    Run {
        version: Version::V6_12,
        ..PLAIN
    },
    // sys_exit.
    Run {
        version: Version::V5_10,
        without_kvm: &[],
        ..PLAIN
    },
    Run {
        version: Version::V6_12,
        append: Some("lockdown=confidentiality"),
        files: &["host"],
        tests: &["lockdown_is_found_out"],
        without_kvm: &[],
        ..PLAIN
    },
    Run {
        append: Some("xtask.init=systemd"),
        files: &["service"],
        tests: &["--include-ignored"],
        without_kvm: &[],
        ..PLAIN
    },
    Run {
        version: Version::V6_12,
        hooks: Some("sys_exit"),
        append: Some("xtask.cgroup=1"),
        tests: &[EXACT, "cgroups_of_either_version"],
        without_kvm: &[],
        ..PLAIN
    },
];

/// Runs them.
pub fn smoke(progress: &Progress, sensor: &Path) -> Result<()> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let runs: Vec<_> = RUNS
        .iter()
        .map(|one| {
            let plan = Plan {
                files: owned(one.files),
                arguments: owned(one.tests),
                hooks: one.hooks.map(str::to_owned),
                append: one.append.map(str::to_owned),
                limit: Duration::from_secs(300),
                without_kvm: if one.without_kvm.is_empty() {
                    WithoutKvm::Nothing
                } else {
                    WithoutKvm::Only(owned(one.without_kvm))
                },
            };
            (one.version, plan)
        })
        .collect();
    signal::catch();
    run(progress, &runs, sensor, false)
}
