//! Redis and Valkey servers: what they listen on, from the kernel's tables.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Server, command_and_parent, listening, tls::Tls};
use crate::principal::DbSystem;

/// Why the plaintext of its TLS connections is not seen.
const TLS_NOT_FOLLOWED: &str =
    "plaintext is taken from the libraries of PostgreSQL, MariaDB and MySQL";

/// Nodes of a cluster talk to each other at the port that clients use and so many more.
const CLUSTER: u16 = 10_000;

/// Where packages put the configuration.
const CONFIGURATIONS: [&str; 4] = [
    "/etc/redis/redis.conf",
    "/etc/redis.conf",
    "/etc/valkey/valkey.conf",
    "/etc/valkey.conf",
];

/// The server that this process is. Until it listens there is none.
pub fn server(pid: u32) -> io::Result<Server> {
    let listening = listening::of(pid)?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    // The server writes what it listens on where its command line was.
    let title = fs::read(process.join("cmdline")).unwrap_or_default();
    let ports = of_clients(&listening.tcp);
    let port = titled(&title)
        .filter(|port| ports.contains(port))
        .or_else(|| ports.iter().copied().min());
    let socket = listening.unix.into_iter().next();
    if port.is_none() && socket.is_none() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let data_directory = fs::read_link(process.join("cwd"))?;
    let directory = data_directory
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let command = command_and_parent(pid).map_or_else(String::new, |(command, _)| command);
    let product = command.strip_suffix("-server").unwrap_or("redis");
    let port_number = port.unwrap_or(0);
    Ok(Server {
        system: DbSystem::Redis,
        pid,
        pooler: false,
        name: format!("{product}/{directory}:{port_number}").into(),
        version: String::new(),
        // It listens for that at a port of its own.
        ssl: ports.len() > 1 || is_tls_port(&process, port),
        tls: Tls::Hidden(TLS_NOT_FOLLOWED.to_owned()),
        data_directory,
        port: port_number,
        socket_directory: socket,
        tcp: port.is_some(),
    })
}

/// Ports, each once, without those of a cluster's nodes.
fn of_clients(ports: &[u16]) -> Vec<u16> {
    let is_cluster = |port: u16| {
        port.checked_sub(CLUSTER)
            .is_some_and(|client| ports.contains(&client))
    };
    let mut clients: Vec<u16> = ports
        .iter()
        .copied()
        .filter(|port| !is_cluster(*port))
        .collect();
    clients.sort_unstable();
    clients.dedup();
    clients
}

/// The port in a title such as `redis-server 127.0.0.1:6379 [cluster]`.
fn titled(title: &[u8]) -> Option<u16> {
    let title = String::from_utf8_lossy(title);
    let address = title.split_whitespace().nth(1)?;
    let (_, port) = address.trim_end_matches('\0').rsplit_once(':')?;
    port.parse().ok()
}

/// Does a configuration that can be found say that this is the port for TLS?
fn is_tls_port(process: &Path, port: Option<u16>) -> bool {
    let root = process.join("root");
    CONFIGURATIONS.iter().any(|path| {
        let inside = root.join(path.trim_start_matches('/'));
        let text = fs::read_to_string(inside).unwrap_or_default();
        port.is_some() && tls_port(&text) == port
    })
}

fn tls_port(configuration: &str) -> Option<u16> {
    configuration.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "tls-port").then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_tell_ports() {
        assert_eq!(titled(b"redis-server 127.0.0.1:6379"), Some(6379));
        assert_eq!(titled(b"redis-server *:7000 [cluster]\0\0"), Some(7000));
        assert_eq!(titled(b"redis-server [::1]:6380"), Some(6380));
        assert_eq!(titled(b"redis-server\0/etc/redis/redis.conf\0"), None);
        assert_eq!(titled(b"redis-server unixsocket:/run/redis.sock"), None);
    }

    #[test]
    fn ports_of_clusters_are_not_clients() {
        assert_eq!(of_clients(&[7000, 17_000, 7000]), [7000]);
        assert_eq!(of_clients(&[6379, 6380]), [6379, 6380]);
        assert_eq!(of_clients(&[]), [] as [u16; 0]);
    }

    #[test]
    fn configurations_tell_the_port_of_tls() {
        assert_eq!(
            tls_port("# tls-port 1\nport 0\ntls-port 6379\n"),
            Some(6379)
        );
        assert_eq!(tls_port("port 6379\n"), None);
    }
}
