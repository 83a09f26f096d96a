//! What a process listens on, by the kernel's tables.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

/// In `/proc/net/unix`: the socket listens (`__SO_ACCEPTCON`).
const LISTENS: u32 = 0x1_0000;

/// In `/proc/net/tcp`: likewise (`TCP_LISTEN`).
const LISTEN: &str = "0A";

/// Its ports and the paths of its unix sockets.
#[derive(Debug, Default)]
pub struct Listening {
    /// In the order of the tables.
    pub tcp: Vec<u16>,
    /// As the process sees them.
    pub unix: Vec<PathBuf>,
}

/// That of a process.
///
/// # Errors
/// When its descriptors can't be read: it is gone, or another user's.
pub fn of(pid: u32) -> io::Result<Listening> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let sockets = sockets(&process)?;
    let read = |name: &str| fs::read_to_string(process.join("net").join(name)).unwrap_or_default();
    Ok(Listening {
        tcp: [read("tcp"), read("tcp6")]
            .iter()
            .flat_map(|table| tcp_ports(table, &sockets))
            .collect(),
        unix: unix_sockets(&read("unix"), &sockets),
    })
}

/// Inodes of all sockets of a process.
///
/// # Errors
/// When its descriptors can't be read: it is gone, or another user's.
pub fn inodes(pid: u32) -> io::Result<Vec<u32>> {
    let sockets = sockets(&PathBuf::from(format!("/proc/{pid}")))?;
    Ok(sockets
        .iter()
        .filter_map(|inode| inode.parse().ok())
        .collect())
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
pub fn tcp_ports(table: &str, sockets: &HashSet<String>) -> Vec<u16> {
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
pub fn unix_sockets(table: &str, sockets: &HashSet<String>) -> Vec<PathBuf> {
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
}
