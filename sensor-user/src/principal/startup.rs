//! What a client says of itself: start-up packets and process titles.

use std::sync::Arc;

use sensor_ebpf::record::StartupKind;

use super::mysql;

/// What matters of a start-up packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// `user`; `None` when the packet was cut before it.
    pub user: Option<Arc<str>>,
    /// `database`; the server takes the user's name where it is missing.
    pub database: Option<Arc<str>>,
    /// `application_name`.
    pub application_name: Arc<str>,
    /// `replication` is on: a standby, a backup or a logical decoder.
    pub replication: bool,
}

/// Longest name that PostgreSQL knows (`NAMEDATALEN` less its NUL).
const NAME: usize = 63;

/// Parses what a record of this kind (a [`StartupKind`]) holds.
pub fn read(kind: u8, bytes: &[u8], truncated: bool) -> Startup {
    match kind {
        kind if kind == StartupKind::MySql as u8 => mysql::response(bytes),
        kind if kind == StartupKind::MySqlChangeUser as u8 => mysql::change_user(bytes),
        _ => parse(bytes, truncated),
    }
}

/// Parses `name NUL value NUL … NUL`. As in the server, the last of several equal names counts.
pub fn parse(parameters: &[u8], truncated: bool) -> Startup {
    let mut startup = Startup::default();
    let mut fields = parameters.split(|byte| *byte == 0);
    let mut complete = false;
    while let Some(name) = fields.next() {
        if name.is_empty() {
            complete = true;
            break;
        }
        let Some(value) = fields.next() else { break };
        match name {
            b"user" => startup.user = Some(clean(value)),
            b"database" => startup.database = Some(clean(value)),
            b"application_name" => startup.application_name = clean(value),
            b"replication" => {
                startup.replication = !matches!(value, b"false" | b"off" | b"no" | b"0");
            }
            _ => {}
        }
    }
    if truncated || !complete {
        // What was cut off could have named another user: better none than a wrong one.
        startup.user = None;
        startup.database = None;
    } else if startup.database.as_deref().is_none_or(str::is_empty) {
        startup.database = startup.user.clone();
    }
    startup
}

/// A name as it may be shown: at most 63 bytes as in the server, control characters and invalid bytes escaped.
pub fn clean(bytes: &[u8]) -> Arc<str> {
    let bytes = &bytes[..bytes.len().min(NAME)];
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            // Bidirectional overrides and the like make one name look like another.
            let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            if character.is_control() || hidden {
                text.extend(character.escape_unicode());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.into()
}

/// User and database from a backend's process title: `postgres: [cluster: ]user database client activity`.
///
/// `None` unless the title is unambiguous: names with blanks can't be told apart.
pub fn parse_title(title: &str) -> Option<(Arc<str>, Arc<str>, Option<std::net::IpAddr>)> {
    let rest = title.strip_prefix("postgres: ")?;
    let mut words: Vec<&str> = rest.split(' ').collect();
    // cluster_name ends with a colon.
    if words.first().is_some_and(|word| word.ends_with(':')) {
        words.remove(0);
    }
    let [user, database, client, ..] = words[..] else {
        return None;
    };
    let address = if client == "[local]" {
        None
    } else {
        // address(port)
        let (address, port) = client.strip_suffix(')')?.rsplit_once('(')?;
        port.parse::<u16>().ok()?;
        Some(address.parse().ok()?)
    };
    Some((clean(user.as_bytes()), clean(database.as_bytes()), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_parameters() {
        let startup = parse(
            b"user\0ann\0database\0crm\0application_name\0psql\0\0",
            false,
        );
        assert_eq!(startup.user.as_deref(), Some("ann"));
        assert_eq!(startup.database.as_deref(), Some("crm"));
        assert_eq!(&*startup.application_name, "psql");
        assert!(!startup.replication);
    }

    #[test]
    fn the_database_defaults_to_the_user() {
        assert_eq!(
            parse(b"user\0ann\0\0", false).database.as_deref(),
            Some("ann")
        );
    }

    #[test]
    fn a_cut_packet_names_nobody() {
        assert_eq!(parse(b"user\0ann\0options\0x", true).user, None);
        assert_eq!(parse(b"user\0ann\0opt", false).user, None);
        assert_eq!(
            parse(b"user\0mallory\0user\0ann\0\0", false)
                .user
                .as_deref(),
            Some("ann")
        );
        assert_eq!(parse(b"", false).user, None);
    }

    #[test]
    fn names_cannot_deceive() {
        assert_eq!(&*clean(b"a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(&*clean("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(&*clean(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(clean(&[b'a'; 1000]).len(), 63);
    }

    #[test]
    fn reads_process_titles() {
        let (user, database, address) =
            parse_title("postgres: ann crm 10.0.0.1(4711) idle").expect("title");
        assert_eq!((&*user, &*database), ("ann", "crm"));
        assert_eq!(address, "10.0.0.1".parse().ok());
        let (user, _, address) =
            parse_title("postgres: 15/main: ann crm [local] SELECT").expect("title");
        assert_eq!((&*user, address), ("ann", None));
        for title in [
            "postgres: checkpointer ",
            "postgres: walwriter",
            "/usr/lib/postgresql -D x",
            "postgres: my user crm [local] idle",
        ] {
            assert_eq!(parse_title(title), None, "{title}");
        }
    }
}
