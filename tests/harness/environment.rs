//! What a test needs of the machine: root, BPF, the binary, and its turn.

use std::{
    fs::{self, File, OpenOptions},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

/// Held while a sensor under test runs: one at a time on a machine, over all test binaries.
const LOCK: &str = "/tmp/data-access-sensor-tests.lock";

/// The right to run sensors. Taken in turn over threads and processes; given back when dropped.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for this test's turn, after checking that the machine can run it at all.
    ///
    /// # Panics
    /// Without root or BPF, or when the lock file can't be made.
    pub fn take() -> Self {
        require_root_and_bpf();
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(LOCK)
            .unwrap_or_else(|error| panic!("open {LOCK}: {error}"));
        // SAFETY: the descriptor is open as long as `lock` lives.
        let result = unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) };
        assert_eq!(
            result,
            0,
            "lock {LOCK}: {}",
            std::io::Error::last_os_error()
        );
        Self { _lock: lock }
    }
}

/// Root of the workspace.
///
/// # Panics
/// Never: this crate has a parent directory.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate's parent")
}

/// The binary under test: `SENSOR_BIN`, or the workspace's release build.
///
/// # Panics
/// When it was not built.
pub fn sensor_binary() -> PathBuf {
    let path = std::env::var_os("SENSOR_BIN")
        .map_or_else(|| workspace().join("target/release/sensor"), PathBuf::from);
    assert!(
        path.is_file(),
        "no sensor at {}: run `cargo xtask build` (or set SENSOR_BIN)",
        path.display()
    );
    path
}

/// How many times longer than on an ordinary machine things may take here: `SENSOR_TEST_SLOWNESS`, one by default.
/// `cargo xtask vm` sets it for guests without KVM.
///
/// # Panics
/// When it is no number above zero.
pub fn slowness() -> u32 {
    std::env::var("SENSOR_TEST_SLOWNESS").map_or(1, |text| match text.parse() {
        Ok(number) if number > 0 => number,
        _ => panic!("SENSOR_TEST_SLOWNESS is `{text}`, which is no number above zero"),
    })
}

/// How long a server, a sensor or a condition may take.
pub fn patience() -> Duration {
    Duration::from_secs(60) * slowness()
}

/// How many of something a test does that holds for any number of them: fewer where things are slow ([`slowness`]), one at least.
pub fn fewer(number: usize) -> usize {
    number.div_ceil(slowness() as usize)
}

/// Gives others time to do what nobody can be asked about, longer where things are slow ([`slowness`]).
pub fn pause(time: Duration) {
    std::thread::sleep(time * slowness());
}

/// Holds that something took less than `limit` – on a machine whose speed says something. Where things are known to be
/// slow ([`slowness`]), it says what was measured and holds nothing; all else that a test holds, it holds there, too.
///
/// # Panics
/// When it took longer.
pub fn assert_within(what: &str, took: Duration, limit: Duration) {
    let slowness = slowness();
    if slowness > 1 {
        eprintln!(
            "{what} took {took:?}; not held to {limit:?}: this machine is {slowness} times slower"
        );
        return;
    }
    assert!(
        took < limit,
        "expected {what} within {limit:?}, it took {took:?}"
    );
}

/// Fails, with what is missing, where these tests can't run. They never pass by being skipped.
///
/// # Panics
/// Without root, without the kernel's BTF, or when the kernel refuses BPF.
pub fn require_root_and_bpf() {
    // SAFETY: takes nothing, can't fail.
    let uid = unsafe { libc::geteuid() };
    assert_eq!(
        uid, 0,
        "these tests load BPF programs and switch users: run them as root (effective uid is {uid})"
    );
    assert!(
        fs::metadata("/sys/kernel/btf/vmlinux").is_ok(),
        "no /sys/kernel/btf/vmlinux: this kernel was built without BTF, the sensor can't attach here"
    );
    // Before Linux 5.11, maps are charged to their user, and those of a sensor that just ended are there for a while.
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the limits are valid; where they can't be had, the map below says so.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
    if let Err(error) = bpf_map() {
        panic!(
            "the kernel refuses to make a BPF map ({error}): CAP_BPF is missing or a seccomp filter forbids bpf(2)"
        );
    }
}

/// Makes the smallest BPF map and closes it.
fn bpf_map() -> std::io::Result<()> {
    const BPF_MAP_CREATE: libc::c_long = 0;
    const BPF_MAP_TYPE_ARRAY: u32 = 2;
    // map_type, key_size, value_size, max_entries of `union bpf_attr`.
    let attributes: [u32; 4] = [BPF_MAP_TYPE_ARRAY, 4, 4, 1];
    // SAFETY: the attributes are valid for their length, which the kernel extends with zeros.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_CREATE,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    match i32::try_from(result) {
        Ok(descriptor) if descriptor >= 0 => {
            // SAFETY: just opened, ours.
            unsafe { libc::close(descriptor) };
            Ok(())
        }
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Ends a child with a signal.
pub fn end(mut child: Child, signal: libc::c_int) {
    // SAFETY: a child that was not waited for.
    unsafe { libc::kill(child.id().cast_signed(), signal) };
    let _ = child.wait();
}
