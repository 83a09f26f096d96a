//! Hosts in network namespaces of their own, and a desk that reaches them all.
//!
//! Whatever is started by [`Host::run`] lives in the namespace: servers, sensors, clients.

use std::{
    fs::File,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Namespaces that end with the test.
#[derive(Debug)]
pub struct Network {
    /// Where people sit, and Prometheus.
    pub desk: Host,
    /// Database hosts.
    pub hosts: Vec<Host>,
}

/// A network namespace with an address.
#[derive(Debug)]
pub struct Host {
    name: String,
    /// Its IPv4 address, the same for whom it talks to.
    pub address: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Network {
    /// A desk and so many hosts, each joined to the desk by a cable.
    ///
    /// # Panics
    /// When the machine has no `ip`, or refuses.
    pub fn of(hosts: u8) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let host = |at: u8| {
            let name = format!("dst-{}-{number}-{at}", std::process::id());
            ip(&["netns", "add", &name]);
            ip(&["-n", &name, "link", "set", "lo", "up"]);
            let address = format!("10.231.0.{}", at + 1);
            ip(&[
                "-n",
                &name,
                "address",
                "add",
                &format!("{address}/32"),
                "dev",
                "lo",
            ]);
            Host { name, address }
        };
        let desk = host(0);
        let hosts: Vec<Host> = (1..=hosts).map(host).collect();
        for (at, host) in hosts.iter().enumerate() {
            let cable = format!("to{at}");
            ip(&[
                "link", "add", &cable, "netns", &desk.name, "type", "veth", "peer", "name", "desk",
                "netns", &host.name,
            ]);
            for (from, device, to) in [(&desk, &*cable, host), (host, "desk", &desk)] {
                ip(&["-n", &from.name, "link", "set", device, "up"]);
                ip(&[
                    "-n",
                    &from.name,
                    "route",
                    "add",
                    &to.address,
                    "dev",
                    device,
                    "src",
                    &from.address,
                ]);
            }
        }
        Self { desk, hosts }
    }
}

impl Host {
    /// Its namespace, for who enters by itself.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Runs something there: its sockets and processes are of this host.
    ///
    /// # Panics
    /// When the namespace can't be entered, or what runs panics.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = self.path();
        let namespace =
            File::open(&path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                // SAFETY: changes the namespace of this thread only, which ends below.
                let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "setns: {}", std::io::Error::last_os_error());
                work()
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its devices and routes go with it.
        Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status()
            .ok();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("run ip: run `cargo xtask setup --for test`");
    assert!(
        output.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}
