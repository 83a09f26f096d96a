//! Database servers on this host: found by their processes, running ones and ones that start later.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{
        discover::{MYSQL_COMMAND_NAMES, REDIS_COMMAND_NAMES},
        kernel::Scope,
    },
    principal::DbSystem,
};

pub mod leaving;
pub mod listening;
mod mysql;
mod option_files;
pub mod pgbouncer;
mod redis;
pub mod tls;

use tls::Tls;

/// A database server and its data directory, or a pooler in front of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it is.
    pub system: DbSystem,
    /// Process id, of PostgreSQL the postmaster's, of a pooler the pooler's.
    pub pid: u32,
    /// A pooler: whatever it serves, it has from a server.
    pub pooler: bool,
    /// Short name: `15/main:5432`, `mariadb-10.11/mysql:3306`, `redis/redis:6379`, `pgbouncer:6432`.
    pub name: Arc<str>,
    /// Version, as far as its data directory tells: PostgreSQL's major version.
    pub version: String,
    /// Data directory, as the server itself sees it.
    pub data_directory: PathBuf,
    /// `port`; zero when a server of another database than PostgreSQL listens on none.
    pub port: u16,
    /// Directory of its unix socket (of other databases than PostgreSQL: the socket itself), if it has one.
    pub socket_directory: Option<PathBuf>,
    /// Does it listen on TCP?
    pub tcp: bool,
    /// Does it offer TLS, as far as its configuration or its data directory can be read?
    pub ssl: bool,
    /// Where it does TLS, if it does.
    pub tls: Tls,
}

/// All servers that run now in these network namespaces.
///
/// `commands` are the command names to look for. Processes of other users are readable as root only; what can't be
/// read is left out, but for what was `known` before: it runs on. Without `review`, those of them that serve all connections by one
/// process are not read again: what they listen on stands among all their sockets, thousands at times.
pub fn servers(commands: &[String], scope: Scope, known: &[Server], review: bool) -> Vec<Server> {
    let mut servers: Vec<Server> = postmasters(commands)
        .filter(|pid| is_in_scope(*pid, scope))
        .filter_map(|pid| {
            let known = known.iter().find(|server| server.pid == pid);
            match known {
                Some(known) if !review && known.is_alone() => Some(known.clone()),
                _ => server(pid).ok().or_else(|| known.cloned()),
            }
        })
        .collect();
    servers.sort_by_key(|server| server.pid);
    servers
}

impl Server {
    /// A PostgreSQL that does without whatever a test does not ask for.
    #[cfg(test)]
    pub(crate) fn plain(pid: u32) -> Self {
        Self {
            system: DbSystem::PostgreSql,
            pid,
            pooler: false,
            name: "".into(),
            version: String::new(),
            data_directory: PathBuf::new(),
            port: 5432,
            socket_directory: None,
            tcp: true,
            ssl: false,
            tls: Tls::Hidden(String::new()),
        }
    }

    /// Does one process serve all connections?
    fn is_alone(&self) -> bool {
        self.pooler || self.system.is_foreign()
    }
}

/// Servers that run but can't be looked at, and why.
pub fn hidden(commands: &[String]) -> Vec<(u32, std::io::Error)> {
    postmasters(commands)
        .filter_map(|pid| Some((pid, server(pid).err()?)))
        .filter(|(_, error)| error.kind() == std::io::ErrorKind::PermissionDenied)
        .collect()
}

/// A process whose namespace can't be read is left out where it matters: it would be another's.
fn is_in_scope(pid: u32, scope: Scope) -> bool {
    match scope {
        Scope::All => true,
        Scope::Own => {
            let own = network_namespace("self").ok();
            own.is_some() && own == network_namespace(&pid.to_string()).ok()
        }
    }
}

/// Inode of the network namespace of a process, by its number or `self`.
///
/// # Errors
/// When it can't be read: there is none, or it is another user's.
pub fn network_namespace(process: &str) -> std::io::Result<u64> {
    Ok(fs::metadata(format!("/proc/{process}/ns/net"))?.ino())
}

/// Processes of these names that are not children of others.
fn postmasters(commands: &[String]) -> impl Iterator<Item = u32> {
    let mut processes = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            && let Some((command, parent)) = command_and_parent(pid)
            && commands.contains(&command)
        {
            processes.insert(pid, parent);
        }
    }
    // Backends and workers are children of the postmaster.
    let postmasters: Vec<u32> = processes
        .iter()
        .filter(|(_, parent)| !processes.contains_key(*parent))
        .map(|(pid, _)| *pid)
        .collect();
    postmasters.into_iter()
}

/// Command name and parent of a process.
pub fn command_and_parent(pid: u32) -> Option<(String, u32)> {
    of_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The same from `/proc/PID/stat`.
pub fn of_stat(stat: &str) -> Option<(String, u32)> {
    // pid (comm) state ppid …: the name may hold blanks and parentheses.
    let open = stat.find('(')?;
    let close = stat.rfind(')')?;
    let parent = stat
        .get(close + 1..)?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()?;
    Some((stat.get(open + 1..close)?.to_owned(), parent))
}

/// Does one process of this name serve all connections, so that its parent is anybody?
pub fn is_alone(pid: u32) -> bool {
    command_and_parent(pid).is_some_and(|(command, _)| {
        command == pgbouncer::COMMAND_NAME
            || MYSQL_COMMAND_NAMES.contains(&command.as_str())
            || REDIS_COMMAND_NAMES.contains(&command.as_str())
    })
}

fn server(pid: u32) -> std::io::Result<Server> {
    match command_and_parent(pid) {
        Some((command, _)) if command == pgbouncer::COMMAND_NAME => pgbouncer::server(pid),
        Some((command, _)) if MYSQL_COMMAND_NAMES.contains(&command.as_str()) => mysql::server(pid),
        Some((command, _)) if REDIS_COMMAND_NAMES.contains(&command.as_str()) => redis::server(pid),
        _ => postgres(pid),
    }
}

fn postgres(pid: u32) -> std::io::Result<Server> {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    // A postmaster works in its data directory; through its own root, so that containers are seen too.
    let data_directory = fs::read_link(format!("/proc/{pid}/cwd"))?;
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let data = inside(&data_directory);
    let lock = fs::read_to_string(data.join("postmaster.pid"))?;
    let lines: Vec<&str> = lock.lines().collect();
    // pid, data directory, start time, port, socket directory, first listen address, shared memory, status.
    // Written in pieces: without a port it is not complete yet.
    let port: u16 = lines
        .get(3)
        .and_then(|line| line.trim().parse().ok())
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let socket_directory = lines
        .get(4)
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .map(PathBuf::from);
    let tcp = lines.get(5).is_some_and(|line| !line.trim().is_empty());
    let version = fs::read_to_string(data.join("PG_VERSION"))
        .map(|version| version.trim().to_owned())
        .unwrap_or_default();
    let directory = data_directory
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(Server {
        system: DbSystem::PostgreSql,
        pid,
        pooler: false,
        name: format!("{version}/{directory}:{port}").into(),
        version,
        ssl: tls::is_offered(&data, &inside, pid),
        tls: tls::find(pid),
        data_directory,
        port,
        socket_directory,
        tcp,
    })
}

/// The 64-bit words of the kernel's port bitmap that watch these servers.
pub fn port_bitmap(servers: &[Server]) -> HashMap<u32, u64> {
    let mut words = HashMap::new();
    for server in servers.iter().filter(|server| server.tcp) {
        *words.entry(u32::from(server.port >> 6)).or_insert(0) |= 1u64 << (server.port & 63);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_command_and_parent_of_this_process() {
        let (command, parent) = command_and_parent(std::process::id()).expect("own /proc entry");
        assert!(!command.is_empty());
        assert_eq!(parent, std::os::unix::process::parent_id());
    }

    #[test]
    fn own_namespaces_are_those_of_this_process() {
        assert!(is_in_scope(std::process::id(), Scope::Own));
        assert!(!is_in_scope(u32::MAX, Scope::Own));
        assert!(is_in_scope(u32::MAX, Scope::All));
    }

    #[test]
    fn ports_become_bits() {
        let server = |port, tcp| Server {
            port,
            tcp,
            ..Server::plain(1)
        };
        let words = port_bitmap(&[server(5432, true), server(5433, true), server(5434, false)]);
        assert_eq!(words, HashMap::from([(84, 0b11 << (5432 & 63))]));
    }
}
