//! The process at a connection's other end, when that is on this host. What `/proc` says is believed only while it is of the same
//! process: numbers are used again.

use std::{fs, sync::Arc};

use nix::time::{ClockId, clock_gettime};

use super::{container, startup::clean};

/// `(uid_t)-1`, also of audit sessions: none.
pub const UNSET: u32 = u32::MAX;
/// Longest path or command line that is kept.
const LONGEST: usize = 256;
/// Both clocks are cut to a tick of a hundredth, and read one after the other.
const SAME: u64 = 30_000_000;

/// A client's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id, as the host sees it.
    pub pid: u32,
    /// `CLOCK_MONOTONIC` at which it began, zero when unknown. With `pid`, it is no other.
    pub began: u64,
    /// Real uid when it was seen; the effective one when the socket's own credentials are all there is.
    pub uid: u32,
    /// Audit login uid, [`UNSET`] without one.
    pub login_uid: u32,
    /// Audit session, [`UNSET`] without one.
    pub audit_session: u32,
    /// Command name.
    pub program: Arc<str>,
    /// What `/proc` says beyond; nothing when it was gone too soon.
    pub more: More,
}

/// What only `/proc` knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// `process.executable.path`.
    pub executable: Option<Arc<str>>,
    /// `process.command_line`, cut; only when that is configured: arguments hold passwords at times.
    pub command_line: Option<Arc<str>>,
    /// Container and pod.
    pub container: container::Container,
}

impl More {
    /// Looks at a process that began then; nothing when it is gone, another's by now, or has replaced itself meanwhile.
    pub fn of(pid: u32, began: u64, program: &str, command_lines: bool) -> Self {
        let is_same = || {
            Stat::of(pid).is_some_and(|stat| {
                began_as_monotonic(stat.began).abs_diff(began) <= SAME
                    && *clean(stat.command.as_bytes()) == *program
            })
        };
        if began == 0 || !is_same() {
            return Self::default();
        }
        let more = Self::look(pid, command_lines);
        // It may have ended between the two.
        if is_same() { more } else { Self::default() }
    }

    fn look(pid: u32, command_lines: bool) -> Self {
        let executable = fs::read_link(format!("/proc/{pid}/exe")).ok();
        let command_line = command_lines
            .then(|| fs::read(format!("/proc/{pid}/cmdline")).ok())
            .flatten();
        let cgroup = fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        Self {
            executable: executable.map(|path| shown(path.as_os_str().as_encoded_bytes())),
            command_line: command_line.map(|bytes| {
                let end = bytes.iter().rposition(|byte| *byte != 0);
                let mut line = bytes.get(..=end.unwrap_or(0)).unwrap_or_default().to_vec();
                for byte in &mut line {
                    if *byte == 0 {
                        *byte = b' ';
                    }
                }
                shown(&line)
            }),
            container: container::parse(&String::from_utf8_lossy(&cgroup)),
        }
    }
}

/// What a client is certainly older than.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// The process that serves its connection, and began after that was made.
    Process(u32),
    /// A time, of `CLOCK_MONOTONIC`.
    Moment(u64),
}

/// The peer of a unix socket that has not sent anything since the sensor runs, by the socket's own credentials as of its
/// `connect()`.
pub fn peer(pid: u32, uid: u32, until: Until, command_lines: bool) -> Process {
    let unknown = Process {
        pid,
        began: 0,
        uid,
        login_uid: UNSET,
        audit_session: UNSET,
        program: "".into(),
        more: More::default(),
    };
    let Some(stat) = Stat::of(pid) else {
        return unknown;
    };
    let is_younger = match until {
        Until::Process(server) => {
            let Some(server) = Stat::of(server) else {
                return unknown;
            };
            stat.began > server.began
        }
        Until::Moment(time) => began_as_monotonic(stat.began) > time + SAME,
    };
    if is_younger {
        // Its number was used again.
        return Process { pid: 0, ..unknown };
    }
    let number = |file: &str| {
        fs::read_to_string(format!("/proc/{pid}/{file}"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(UNSET)
    };
    let began = began_as_monotonic(stat.began);
    let program = clean(stat.command.as_bytes());
    Process {
        began,
        login_uid: number("loginuid"),
        audit_session: number("sessionid"),
        more: More::of(pid, began, &program, command_lines),
        program,
        ..unknown
    }
}

/// Fields of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Command name.
    pub command: String,
    /// Ticks of a hundredth since boot.
    pub began: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Reads the table; `None` when it is none.
    pub fn parse(stat: &[u8]) -> Option<Self> {
        let stat = String::from_utf8_lossy(stat);
        // pid (comm) state …: the name may hold blanks and parentheses.
        let (open, close) = (stat.find('(')?, stat.rfind(')')?);
        let began = stat.get(close + 1..)?.split_whitespace().nth(19)?;
        Some(Self {
            command: stat.get(open + 1..close)?.to_owned(),
            began: began.parse().ok()?,
        })
    }
}

/// `/proc` counts from boot, the kernel's records leave out the time asleep.
fn began_as_monotonic(ticks: u64) -> u64 {
    let asleep = now(ClockId::CLOCK_BOOTTIME).saturating_sub(now(ClockId::CLOCK_MONOTONIC));
    (ticks * 10_000_000).saturating_sub(asleep)
}

/// In nanoseconds.
fn now(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

/// At most so many bytes, escaped.
fn shown(bytes: &[u8]) -> Arc<str> {
    super::startup::escaped(bytes.get(..LONGEST).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_beginning() -> u64 {
        began_as_monotonic(Stat::of(std::process::id()).expect("stat").began)
    }

    fn own_name() -> String {
        Stat::of(std::process::id()).expect("stat").command
    }

    #[test]
    fn looks_at_this_process() {
        let pid = std::process::id();
        let more = More::of(pid, own_beginning(), &own_name(), true);
        let own = std::env::current_exe().expect("path");
        assert_eq!(more.executable.as_deref(), own.to_str());
        assert!(more.command_line.is_some());
        let less = More::of(pid, own_beginning(), &own_name(), false);
        assert_eq!(less.command_line, None);
    }

    #[test]
    fn a_number_that_is_another_s_by_now_says_nothing() {
        let pid = std::process::id();
        let nothing = More::default();
        for (began, name) in [
            (own_beginning() + 1_000_000_000, own_name()),
            (own_beginning().saturating_sub(1_000_000_000), own_name()),
            (own_beginning(), "another".to_owned()),
            (0, own_name()),
        ] {
            assert_eq!(More::of(pid, began, &name, true), nothing);
        }
    }

    #[test]
    fn a_peer_younger_than_what_serves_it_is_not_believed() {
        // This process is younger than process 1, and cannot have been its client.
        let younger = peer(std::process::id(), 5, Until::Process(1), true);
        assert_eq!((younger.pid, younger.uid, &*younger.program), (0, 5, ""));
        let gone = peer(u32::MAX, 5, Until::Process(1), true);
        assert_eq!((gone.uid, gone.login_uid), (5, UNSET));
        let own = |time| peer(std::process::id(), 5, Until::Moment(time), true).pid;
        assert_eq!(own(now(ClockId::CLOCK_MONOTONIC)), std::process::id());
        assert_eq!(own(own_beginning().saturating_sub(1_000_000_000)), 0);
    }
}
