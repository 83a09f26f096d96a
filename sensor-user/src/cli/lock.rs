//! One sensor a host (a network namespace): two would double the cost and each alert.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::socket::{
        AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt,
    },
    unistd::Uid,
};

use crate::{export::visible, kernel::privileges::WANTED};

/// An abstract socket: goes with the process, whatever ends it, leaves no file behind, and is there on a system that is
/// read-only as well as for a sensor without root. Any local user may bind its name, though, so its holder is looked at.
const NAME: &[u8] = b"data-access-sensor";
/// A holder that does not say who it is may be about to begin, or to end: so often it is asked again, …
const TRIES: u32 = 5;
/// … after this long each.
const PAUSE: Duration = Duration::from_millis(50);

/// Holds the lock as long as what it returns lives; `None` when somebody holds it who can be no sensor.
///
/// # Errors
/// When another sensor holds it.
pub fn take() -> Result<Option<UnixListener>> {
    take_named(NAME)
}

fn take_named(name: &[u8]) -> Result<Option<UnixListener>> {
    let shown = String::from_utf8_lossy(name).into_owned();
    let address = SocketAddr::from_abstract_name(name).context("cannot name the lock")?;
    let mut unasked = None;
    for _ in 0..TRIES {
        match UnixListener::bind_addr(&address) {
            Ok(lock) => return Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => bail!("cannot take the lock @{shown}: {error}"),
        }
        match Holder::of(name) {
            Ok(holder) if holder.may_be_a_sensor(Uid::effective().as_raw()) => {
                bail!("another sensor is already running on this host: stop it first ({holder})",)
            }
            Ok(holder) => {
                log::warn!(
                    "{holder} holds the lock @{shown}, and can be no sensor: it may want to keep sensors from starting; this \
                     one starts all the same, and a second one would not be noticed"
                );
                return Ok(None);
            }
            Err(error) => unasked = Some(error),
        }
        thread::sleep(PAUSE);
    }
    // A sensor's socket takes connections as long as it lives.
    log::warn!(
        "somebody holds the lock @{shown} and does not say who ({}): it may want to keep sensors from starting; this one starts \
         all the same, and a second one would not be noticed",
        unasked.map_or_else(String::new, |error| error.to_string())
    );
    Ok(None)
}

/// Who listens there, by the kernel's word.
#[derive(Debug)]
struct Holder {
    /// User as whom it began to listen.
    uid: u32,
    /// Process; zero where it is in a pid namespace that is not seen from here.
    pid: u32,
}

impl Holder {
    fn of(name: &[u8]) -> nix::Result<Self> {
        // Not to be held up by one who accepts nothing.
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
        let peer = getsockopt(&socket, sockopt::PeerCredentials)?;
        Ok(Self {
            uid: peer.uid(),
            pid: u32::try_from(peer.pid()).unwrap_or(0),
        })
    }

    /// Root, the user as whom this one starts, or who has rights as a sensor has them. Whoever has neither can't run one.
    fn may_be_a_sensor(&self, own: u32) -> bool {
        self.uid == 0 || self.uid == own || self.is_privileged()
    }

    fn is_privileged(&self) -> bool {
        let process = Path::new("/proc").join(self.pid.to_string());
        // In a user namespace of one's own, all rights are to be had for nothing.
        let namespace = |process: &Path| fs::read_link(process.join("ns/user")).ok();
        let ours = namespace(Path::new("/proc/self"));
        ours.is_some()
            && namespace(&process) == ours
            && fs::read_to_string(process.join("status"))
                .is_ok_and(|status| has_rights(&status, self.uid))
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let program = fs::read_to_string(format!("/proc/{}/comm", self.pid));
        write!(
            f,
            "process {}, user {}, program {}",
            self.pid,
            self.uid,
            program.map_or_else(|_| "unknown".to_owned(), |name| visible(name.trim_end()))
        )
    }
}

/// Has a process, by its /proc/PID/status, been this user all along, and any right that a sensor wants? A number that another
/// process has taken over, and sudo or passwd in the place of what began to listen, have other users.
fn has_rights(status: &str, uid: u32) -> bool {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let Some((users, permitted)) = field("Uid").zip(field("CapPrm")) else {
        return false;
    };
    let wanted = WANTED
        .iter()
        .fold(0, |bits, wanted| bits | wanted.capability.bitmask());
    users.split_whitespace().all(|user| user.parse() == Ok(uid))
        && u64::from_str_radix(permitted.trim(), 16).is_ok_and(|bits| bits & wanted != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: u32 = 65534;

    fn name(what: &str) -> Vec<u8> {
        format!("data-access-sensor-{what}-{}", std::process::id()).into_bytes()
    }

    #[test]
    fn whoever_could_run_a_sensor_is_believed_and_named() {
        let name = name("ours");
        let first = take_named(&name).expect("free").expect("a lock");
        let refusal = take_named(&name).expect_err("taken").to_string();
        let who = format!("process {}, user {}", std::process::id(), Uid::effective());
        assert!(
            refusal.contains("another sensor is already running on this host: stop it first")
                && refusal.contains(&who),
            "{refusal}"
        );
        drop(first);
        assert!(take_named(&name).expect("free again").is_some());
    }

    #[test]
    fn a_local_user_keeps_no_sensor_from_starting() {
        if !Uid::effective().is_root() {
            return; // Nobody but root can be two users.
        }
        let name = name("theirs");
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let _theirs = thread::spawn(move || {
            // SAFETY: changes the user of this thread alone (the C library's function would change all), which ends here.
            let changed = unsafe { libc::syscall(libc::SYS_setresuid, -1, NOBODY, -1) };
            assert_eq!(changed, 0);
            UnixListener::bind_addr(&address).expect("bound")
        })
        .join()
        .expect("listens");
        let holder = Holder::of(&name).expect("somebody listens");
        assert_eq!((holder.uid, holder.pid), (NOBODY, std::process::id()));
        assert!(take_named(&name).expect("goes on").is_none());
    }

    #[test]
    fn a_holder_who_answers_nobody_keeps_no_sensor_from_starting() {
        let name = name("mute");
        let socket = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .expect("a socket");
        let address = UnixAddr::new_abstract(&name).expect("a name");
        nix::sys::socket::bind(socket.as_raw_fd(), &address).expect("bound");
        assert!(take_named(&name).expect("goes on").is_none());
    }

    #[test]
    fn rights_count_that_the_one_who_listens_has() {
        let status = |users: &str, rights: &str| {
            format!(
                "Name:\tsensor\nUid:\t{users}\nGid:\t0\nCapInh:\t0\nCapPrm:\t{rights}\nCapEff:\t0\n"
            )
        };
        let own = "998\t998\t998\t998";
        // CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE.
        assert!(has_rights(&status(own, "0000000000080004"), 998));
        assert!(!has_rights(&status(own, "0000000000000000"), 998));
        // CAP_NET_RAW: ping.
        assert!(!has_rights(&status(own, "0000000000002000"), 998));
        // passwd took the place of what listened, or its number went to another's process.
        let all = "000001ffffffffff";
        assert!(!has_rights(&status("998\t0\t0\t0", all), 998));
        assert!(!has_rights(&status("0\t0\t0\t0", all), 998));
        assert!(!has_rights("", 998));
    }
}
