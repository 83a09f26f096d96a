//! PgBouncer: to its clients a PostgreSQL server, with connections to others in place of data.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Server, listening, tls::Tls};
use crate::principal::DbSystem;

/// Command name.
pub const COMMAND_NAME: &str = "pgbouncer";

/// Numbers of users below are accounts of services (`UID_MIN` of Debian, Red Hat and SUSE).
const PEOPLE: u32 = 1000;

/// The one that this process is. Until it listens there is none.
///
/// # Errors
/// `PermissionDenied` when it may be somebody's own program: what a pooler asks for counts for those who asked it, and
/// nobody is to hide so.
pub fn server(pid: u32) -> io::Result<Server> {
    believe(&PathBuf::from(format!("/proc/{pid}")))?;
    let listening = listening::of(pid)?;
    let socket = listening.unix.first();
    let port = listening
        .tcp
        .iter()
        .min()
        .copied()
        .or_else(|| socket.and_then(|path| path.extension()?.to_str()?.parse().ok()))
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    Ok(Server {
        system: DbSystem::PostgreSql,
        pid,
        pooler: true,
        name: format!("{COMMAND_NAME}:{port}").into(),
        version: String::new(),
        data_directory: fs::read_link(process.join("cwd"))?,
        port,
        socket_directory: socket.and_then(|path| path.parent()).map(Path::to_owned),
        tcp: !listening.tcp.is_empty(),
        ssl: offers_tls(&process),
        tls: Tls::Hidden("probes are put on database servers only".to_owned()),
    })
}

fn believe(process: &Path) -> io::Result<()> {
    let user = fs::metadata(process)?.uid();
    let program = fs::metadata(process.join("exe"))?;
    doubt(user, program.uid(), program.mode()).map_or(Ok(()), |why| {
        let why = format!("it calls itself {COMMAND_NAME} but {why}: taken for a client");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    })
}

/// Why such a process need not be what it says.
fn doubt(user: u32, program_owner: u32, program_mode: u32) -> Option<String> {
    if user >= PEOPLE {
        Some(format!("is run by user {user}, no service's account"))
    } else if program_owner != 0 || program_mode & 0o022 != 0 {
        Some("others than root can write its program".to_owned())
    } else {
        None
    }
}

/// Does its configuration, by the path that it was started with, let clients use TLS? Files that it includes are not looked at.
fn offers_tls(process: &Path) -> bool {
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    // The path is the only argument that is no option; as the process sees it.
    let path = arguments.split('\0').skip(1).find(|argument| {
        Path::new(argument)
            .extension()
            .is_some_and(|end| end == "ini")
    });
    let Some(path) = path.map(Path::new) else {
        return false;
    };
    let inside = match path.strip_prefix("/") {
        Ok(path) => process.join("root").join(path),
        Err(_) => process.join("cwd").join(path),
    };
    lets_clients_use_tls(&fs::read_to_string(inside).unwrap_or_default())
}

fn lets_clients_use_tls(configuration: &str) -> bool {
    let mode = configuration.lines().rev().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "client_tls_sslmode").then(|| value.trim())
    });
    mode.is_some_and(|mode| mode != "disable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_hides_behind_its_name() {
        assert_eq!(doubt(105, 0, 0o100_755), None);
        assert!(doubt(1000, 0, 0o100_755).is_some(), "a person");
        assert!(doubt(65_534, 0, 0o100_755).is_some(), "nobody");
        assert!(doubt(105, 1000, 0o100_755).is_some(), "a person's program");
        assert!(doubt(105, 0, 0o100_775).is_some(), "a group's program");
    }

    #[test]
    fn reads_whether_clients_may_use_tls() {
        assert!(!lets_clients_use_tls("[pgbouncer]\npool_mode = session\n"));
        assert!(!lets_clients_use_tls(
            ";client_tls_sslmode = allow\nclient_tls_sslmode=disable"
        ));
        assert!(lets_clients_use_tls("client_tls_sslmode = require\n"));
    }
}
