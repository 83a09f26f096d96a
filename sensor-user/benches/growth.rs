//! Cost against size: `cargo bench -p sensor-user --bench growth` (`cargo xtask bench growth` shows it).
//!
//! One size grows at a time. Time a record is processor time of this thread; memory is what the process holds resident
//! more than before the pipeline was made. Each row runs in a process of its own, so that none inherits another's memory.

use std::{env, fs, hint::black_box, process::Command};

use sensor_user::ingest::{Clock, Observation};
use stream::Size;

mod stream;

/// Records of one row.
const RECORDS: u64 = 400_000;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--row") {
        let [connections, fingerprints, principals] =
            [1, 2, 3].map(|next| arguments[at + next].parse().expect("a number"));
        row(Size {
            connections,
            fingerprints,
            principals,
        });
        return;
    }
    println!(
        "{:>12} {:>13} {:>11} {:>13} {:>14} {:>16}",
        "connections", "fingerprints", "principals", "ns a record", "1k queries/s", "resident, MiB"
    );
    let usual = Size::USUAL;
    let mut sizes = Vec::new();
    sizes.extend([10, 100, 1000, 10_000].map(|connections| Size {
        connections,
        ..usual
    }));
    sizes.extend([10, 1000, 10_000, 100_000].map(|fingerprints| Size {
        fingerprints,
        ..usual
    }));
    sizes.extend([10, 1000, 10_000, 100_000].map(|principals| Size {
        principals,
        ..usual
    }));
    // What the targets of memory are about.
    sizes.push(Size {
        connections: 1000,
        fingerprints: 10_000,
        principals: 10_000,
    });
    let own = env::current_exe().expect("a path of this program");
    for size in sizes {
        let status = Command::new(&own)
            .arg("--row")
            .args([size.connections, size.fingerprints, size.principals].map(|n| n.to_string()))
            .status()
            .expect("this program runs");
        assert!(status.success());
    }
}

fn row(size: Size) {
    let before = resident();
    let mut pipeline = stream::pipeline(size);
    let clock = Clock::now();
    let began = processor_time();
    for index in 0..RECORDS {
        let record = Observation::Statement(stream::nth(index, size));
        black_box(pipeline.observe(&record, clock));
    }
    let each = (processor_time() - began) / RECORDS;
    let memory = resident().saturating_sub(before) >> 20;
    println!(
        "{:>12} {:>13} {:>11} {each:>13} {:>13.2}% {memory:>16}",
        size.connections,
        size.fingerprints,
        size.principals,
        // Share of one core for a thousand records a second.
        each as f64 * 1000.0 / 1e9 * 100.0,
    );
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("a field VmRSS");
    let kilobytes: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    kilobytes << 10
}

/// Processor time of this thread in nanoseconds.
fn processor_time() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to a local.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
