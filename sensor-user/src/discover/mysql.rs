//! MariaDB and MySQL servers: what they listen on, from the kernel's tables; what they are, from their data directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Server, listening, option_files::Options, tls};
use crate::principal::DbSystem;

/// Ports of other protocols that such a server listens on: MySQL's X protocol, and what a Galera cluster's nodes talk by.
const OTHER_PORTS: [u16; 4] = [33_060, 4444, 4567, 4568];

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
    let inside = |path: &Path| {
        process
            .join("root")
            .join(path.strip_prefix("/").unwrap_or(path))
    };
    let upgraded = upgraded(&data);
    let program = fs::read_link(process.join("exe")).unwrap_or_default();
    let system = if upgraded.contains("MariaDB") || program.ends_with("mariadbd") {
        DbSystem::MariaDb
    } else {
        DbSystem::MySql
    };
    let version = version(&upgraded);
    let makes_certificate = system == DbSystem::MariaDb && number(&version) >= (11, 4);
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
        ssl: offers_tls(
            &Options::of(
                &fs::read(process.join("cmdline")).unwrap_or_default(),
                &inside,
            ),
            &data,
            makes_certificate,
        ),
        tls: tls::find(pid),
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

/// Does it offer TLS? With a certificate that it was given, or that it made itself: MySQL in its data directory, MariaDB from 11.4 on
/// in its memory (`makes_certificate`).
fn offers_tls(options: &Options, data: &Path, makes_certificate: bool) -> bool {
    // MySQL 8 knows no switch: no version of TLS is none.
    let is_off = options.is_off("ssl") || options.get("tls_version") == Some("");
    let is_given = options.get("ssl_cert").is_some_and(|path| !path.is_empty());
    !is_off && (is_given || makes_certificate || data.join("server-cert.pem").exists())
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

/// `(10, 11)` of `10.11`.
fn number(version: &str) -> (u32, u32) {
    let (major, minor) = version.split_once('.').unwrap_or(("", ""));
    (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
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
    fn tls_is_offered_with_a_certificate() {
        let empty = Path::new("/nonexistent");
        let offers = |line: &str, makes: bool| {
            let options = Options::of(line.replace(' ', "\0").as_bytes(), &|_| empty.to_owned());
            offers_tls(&options, empty, makes)
        };
        assert!(!offers("mariadbd", false));
        assert!(offers("mariadbd --ssl-cert=/a.pem", false));
        assert!(!offers("mariadbd --ssl-cert=", false));
        assert!(!offers("mariadbd --ssl-cert=/a.pem --skip-ssl", false));
        assert!(!offers("mysqld --ssl-cert=/a.pem --tls-version=", false));
        assert!(offers("mariadbd", number("11.4") >= (11, 4)));
        assert!(!offers("mariadbd --ssl=0", true));
        assert!(number("10.11") < (11, 4) && number("12.0") > (11, 4) && number("") < (11, 4));
    }

    #[test]
    fn versions_are_major_and_minor() {
        assert_eq!(version("10.11.14-MariaDB"), "10.11");
        assert_eq!(version("8.0.36\n"), "8.0");
        assert_eq!(version(""), "");
        assert_eq!(version("x.y"), "");
    }
}
