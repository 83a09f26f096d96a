//! MariaDB and MySQL servers: what they listen on, from the kernel's tables; what they are, from their data directory.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Server, tls::Tls};
use crate::principal::DbSystem;

/// Ports of other protocols that such a server listens on: MySQL's X protocol, and what a Galera cluster's nodes talk by.
const OTHER_PORTS: [u16; 4] = [33_060, 4444, 4567, 4568];

/// Why the plaintext of its TLS connections is not seen.
const TLS_NOT_FOLLOWED: &str = "plaintext is taken from PostgreSQL's library alone";

/// In `/proc/net/unix`: the socket listens (`__SO_ACCEPTCON`).
const LISTENS: u32 = 0x1_0000;

/// In `/proc/net/tcp`: likewise (`TCP_LISTEN`).
const LISTEN: &str = "0A";

/// The server that this process is. Until it listens there is none.
pub fn server(pid: u32) -> io::Result<Server> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let sockets = sockets(&process)?;
    let read = |name: &str| fs::read_to_string(process.join("net").join(name)).unwrap_or_default();
    let port = [read("tcp"), read("tcp6")]
        .iter()
        .flat_map(|table| tcp_ports(table, &sockets))
        .filter(|port| !OTHER_PORTS.contains(port))
        .min();
    let socket = unix_sockets(&read("unix"), &sockets)
        .into_iter()
        .find(|path| !path.to_string_lossy().contains("mysqlx"));
    if port.is_none() && socket.is_none() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // A server works in its data directory; through its own root, so that containers are seen too.
    let data_directory = fs::read_link(process.join("cwd"))?;
    let inside = |path: &Path| {
        process
            .join("root")
            .join(path.strip_prefix("/").unwrap_or(path))
    };
    let data = inside(&data_directory);
    let upgraded = ["mariadb_upgrade_info", "mysql_upgrade_info"]
        .iter()
        .find_map(|name| fs::read_to_string(data.join(name)).ok())
        .unwrap_or_default();
    let program = fs::read_link(process.join("exe")).unwrap_or_default();
    let system = if upgraded.contains("MariaDB") || program.ends_with("mariadbd") {
        DbSystem::MariaDb
    } else {
        DbSystem::MySql
    };
    let version = version(&upgraded);
    let directory = data_directory
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let dash = if version.is_empty() { "" } else { "-" };
    let port_number = port.unwrap_or(0);
    Ok(Server {
        system,
        pid,
        name: format!(
            "{}{dash}{version}/{directory}:{port_number}",
            system.as_str()
        )
        .into(),
        version,
        // Made by the server itself where nobody gave it a certificate. What a configuration file names is not looked for.
        ssl: data.join("server-cert.pem").exists() || names_certificate(&process),
        tls: Tls::Hidden(TLS_NOT_FOLLOWED.to_owned()),
        data_directory,
        port: port_number,
        socket_directory: socket,
        tcp: port.is_some(),
    })
}

/// Does its command line name a certificate?
fn names_certificate(process: &Path) -> bool {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|argument| {
        argument.starts_with(b"--ssl-cert=") || argument.starts_with(b"--ssl_cert=")
    })
}

/// `10.11` of `10.11.14-MariaDB`.
fn version(upgraded: &str) -> String {
    let mut numbers = upgraded.trim().split(['.', '-']);
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor))
            if major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok() =>
        {
            format!("{major}.{minor}")
        }
        _ => String::new(),
    }
}

/// Inodes of a process's sockets.
fn sockets(process: &Path) -> io::Result<HashSet<String>> {
    let mut inodes = HashSet::new();
    for entry in fs::read_dir(process.join("fd"))? {
        let Ok(target) = fs::read_link(entry?.path()) else {
            continue;
        };
        let target = target.to_string_lossy();
        if let Some(inode) = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            inodes.insert(inode.to_owned());
        }
    }
    Ok(inodes)
}

/// Ports of those sockets that listen, from a table such as `/proc/net/tcp`.
fn tcp_ports(table: &str, sockets: &HashSet<String>) -> Vec<u16> {
    let mut ports = Vec::new();
    for line in table.lines().skip(1) {
        // number, local address:port, remote, state, queues, timer, retransmissions, uid, timeout, inode …
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, local, _, LISTEN, _, _, _, _, _, inode, ..] = fields[..]
            && sockets.contains(inode)
            && let Some((_, port)) = local.rsplit_once(':')
            && let Ok(port) = u16::from_str_radix(port, 16)
        {
            ports.push(port);
        }
    }
    ports
}

/// Paths of those sockets that listen, from `/proc/net/unix`.
fn unix_sockets(table: &str, sockets: &HashSet<String>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for line in table.lines().skip(1) {
        // address, references, protocol, flags, type, state, inode, path
        let mut fields = line.split_whitespace();
        let flags = fields
            .nth(3)
            .and_then(|flags| u32::from_str_radix(flags, 16).ok());
        let inode = fields.nth(2);
        if flags.is_some_and(|flags| flags & LISTENS != 0)
            && inode.is_some_and(|inode| sockets.contains(inode))
            && let Some(path) = fields.next()
        {
            paths.push(path.into());
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_those_of_the_process() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   106        0 12345 1 0 100 0 0 10 0\n   \
            1: 0100007F:0CEB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   106        0 999 1 0 100 0 0 10 0\n   \
            2: 0100007F:0CEA 0100007F:9999 01 00000000:00000000 00:00000000 00000000   106        0 12346 1 0 100 0 0 10 0\n";
        let unix = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 777 /run/mysqld/mysqld.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 778 /run/mysqld/mysqld.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 5 /run/other.sock\n";
        let own = ["12345", "12346", "777", "778"].map(str::to_owned).into();
        assert_eq!(tcp_ports(tcp, &own), [3306]);
        assert_eq!(
            unix_sockets(unix, &own),
            [PathBuf::from("/run/mysqld/mysqld.sock")]
        );
    }

    #[test]
    fn versions_are_major_and_minor() {
        assert_eq!(version("10.11.14-MariaDB"), "10.11");
        assert_eq!(version("8.0.36\n"), "8.0");
        assert_eq!(version(""), "");
        assert_eq!(version("x.y"), "");
    }
}
