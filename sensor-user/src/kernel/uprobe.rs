//! Uprobes as perf events, without a program: who may have one, and what one costs here.

use std::{
    ffi::CStr,
    fs,
    hint::black_box,
    io::{self, Read as _},
    os::fd::{FromRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

/// Where the kernel offers them.
pub const SOURCE: &str = "/sys/bus/event_source/devices/uprobe";

/// `struct perf_event_attr` as of its second version (`PERF_ATTR_SIZE_VER1`), the first that has a place for the probe's.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    unused: [u64; 6],
    /// `uprobe_path`, also `config1`.
    path: u64,
    /// `probe_offset`, also `config2`.
    offset: u64,
}

/// A probe at this place of a file that counts how often this thread comes by, until it is dropped.
///
/// # Errors
/// The kernel's: `EACCES` or `EPERM` without the right, before the file is looked at; `EFAULT` without one.
pub fn count(path: Option<&CStr>, offset: u64) -> io::Result<OwnedFd> {
    let attributes = Attributes {
        kind: fs::read_to_string(format!("{SOURCE}/type"))?
            .trim()
            .parse()
            .map_err(|_| io::ErrorKind::InvalidData)?,
        size: size_of::<Attributes>() as u32,
        path: path.map_or(0, |path| path.as_ptr() as u64),
        offset,
        ..Attributes::default()
    };
    let (this_thread, any_cpu, no_group, no_flags) = (0, -1, -1, 0);
    // SAFETY: the attributes are as long as they say, and the path ends with a NUL; the kernel copies both.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            this_thread,
            any_cpu,
            no_group,
            no_flags,
        )
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made it for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Calls in a row that are measured together, and how often: the quickest of these tells what a probe costs, because whatever
/// disturbs makes it slower.
const CALLS: u32 = 100;
const ROUNDS: u32 = 10;

/// What one probe at the entry of a function costs whoever calls it here: an exception and its handling, which a hypervisor may
/// make ten times dearer. Takes some milliseconds.
///
/// # Errors
/// When no probe can be put on this very program, or it does not fire.
pub fn cost() -> io::Result<Duration> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let offset = offset(&maps, crossing as *const () as usize as u64)
        .ok_or_else(|| io::Error::other("this program is not in its own memory map"))?;
    let quickest = || {
        let rounds = (0..ROUNDS).map(|_| {
            let begin = Instant::now();
            for call in 0..CALLS {
                black_box(crossing(black_box(u64::from(call))));
            }
            begin.elapsed()
        });
        rounds.min().unwrap_or_default() / CALLS
    };
    let without = quickest();
    let probe = count(Some(c"/proc/self/exe"), offset)?;
    let with = quickest();
    let mut counted = [0; 8];
    fs::File::from(probe).read_exact(&mut counted)?;
    if u64::from_ne_bytes(counted) < u64::from(CALLS * ROUNDS) {
        return Err(io::Error::other("a probe on this program did not fire"));
    }
    Ok(with.saturating_sub(without))
}

/// What the probe sits on.
#[inline(never)]
extern "C" fn crossing(value: u64) -> u64 {
    black_box(value).wrapping_add(1)
}

/// Where in its file an address lies, by `/proc/PID/maps`.
pub fn offset(maps: &str, address: u64) -> Option<u64> {
    maps.lines().find_map(|line| {
        // begin-end rights offset device inode path
        let mut fields = line.split_ascii_whitespace();
        let (begin, end) = fields.next()?.split_once('-')?;
        let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
        let (begin, end) = (hexadecimal(begin)?, hexadecimal(end)?);
        let offset = hexadecimal(fields.nth(1)?)?;
        let path = fields.nth(2)?;
        ((begin..end).contains(&address) && path.starts_with('/'))
            .then(|| (address - begin).checked_add(offset))
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_in_its_file() {
        let maps = "55d0a000-55d0b000 r--p 00000000 fe:00 7 /usr/bin/sensor\n\
            55d0b000-55d0f000 r-xp 00001000 fe:00 7                    /usr/bin/sensor\n\
            7ffd1000-7ffd2000 r-xp 00000000 00:00 0                    [vdso]\n";
        assert_eq!(offset(maps, 0x55d0_b010), Some(0x1010));
        assert_eq!(offset(maps, 0x7ffd_1000), None, "no file");
        assert_eq!(offset(maps, 0x1000), None, "nothing");
        let own = fs::read_to_string("/proc/self/maps").expect("own map");
        assert!(offset(&own, crossing as *const () as usize as u64).is_some());
    }

    #[test]
    fn a_probe_costs_something() {
        match cost() {
            Ok(cost) => assert!(
                (Duration::from_nanos(50)..Duration::from_millis(1)).contains(&cost),
                "{cost:?}"
            ),
            // Without the right to, or on a kernel without uprobes.
            Err(error) => assert!(
                !std::path::Path::new(SOURCE).exists()
                    || error.kind() == io::ErrorKind::PermissionDenied,
                "{error}"
            ),
        }
    }
}
