//! MariaDB and MySQL servers: what they listen on, from the kernel's tables; what they are, from their data directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Server, listening, tls::Tls};
use crate::principal::DbSystem;

/// Ports of other protocols that such a server listens on: MySQL's X protocol, and what a Galera cluster's nodes talk by.
const OTHER_PORTS: [u16; 4] = [33_060, 4444, 4567, 4568];

/// Why the plaintext of its TLS connections is not seen.
const TLS_NOT_FOLLOWED: &str = "plaintext is taken from PostgreSQL's library alone";

/// The server that this process is. Until it listens there is none.
pub fn server(pid: u32) -> io::Result<Server> {
    let listening = listening::of(pid)?;
    let own = |port: &u16| !OTHER_PORTS.contains(port);
    let port = listening.tcp.into_iter().filter(own).min();
    let mut sockets = listening.unix.into_iter();
    let socket = sockets.find(|path| !path.to_string_lossy().contains("mysqlx"));
    if port.is_none() && socket.is_none() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let process = PathBuf::from(format!("/proc/{pid}"));
    // A server works in its data directory. Read through that link, so that containers and changed roots are seen, too.
    let data = process.join("cwd");
    let data_directory = fs::read_link(&data)?;
    let upgraded = upgraded(&data);
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
        pooler: false,
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

/// As which version the server last wrote to its data directory.
fn upgraded(data: &Path) -> String {
    let read = |name: &str| fs::read_to_string(data.join(name)).ok();
    read("mysql_upgrade_history")
        .and_then(|history| latest(&history))
        .or_else(|| read("mariadb_upgrade_info"))
        .or_else(|| read("mysql_upgrade_info"))
        .unwrap_or_default()
}

/// The last version in the history that MySQL writes from 8.4 on.
fn latest(history: &str) -> Option<String> {
    let history: Value = serde_json::from_str(history).ok()?;
    let last = history["upgrade_history"].as_array()?.last()?;
    Some(last["version"].as_str()?.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_upgrade_counts() {
        let of = |version: &str, initialize: bool| {
            format!(
                r#"{{"date":"2026-11-27 11:00:00","version":"{version}","maturity":"LTS","initialize":{initialize}}}"#
            )
        };
        let history = format!(
            r#"{{"file_format":"1","upgrade_history":[{},{}]}}"#,
            of("8.4.8", true),
            of("9.7.4-2", false)
        );
        assert_eq!(version(&latest(&history).expect("a version")), "9.7");
        for other in [
            "",
            "8.0.36",
            r#"{"upgrade_history":[]}"#,
            r#"{"upgrade_history":[{}]}"#,
        ] {
            assert_eq!(latest(other), None, "{other}");
        }
    }

    #[test]
    fn versions_are_major_and_minor() {
        assert_eq!(version("10.11.14-MariaDB"), "10.11");
        assert_eq!(version("8.0.36\n"), "8.0");
        assert_eq!(version(""), "");
        assert_eq!(version("x.y"), "");
    }
}
