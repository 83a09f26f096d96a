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
    /// `role`, which any client may ask for at the start.
    pub role: Option<Arc<str>>,
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
    let mut options: &[u8] = b"";
    while let Some(name) = fields.next() {
        if name.is_empty() {
            complete = true;
            break;
        }
        let Some(value) = fields.next() else { break };
        match name {
            b"user" => startup.user = Some(role_name(value)),
            b"database" => startup.database = Some(clean(value)),
            b"options" => options = value,
            _ if name.eq_ignore_ascii_case(b"application_name") => {
                startup.application_name = clean(value);
            }
            _ if name.eq_ignore_ascii_case(b"role") => startup.role = role(value),
            b"replication" => {
                startup.replication = !matches!(value, b"false" | b"off" | b"no" | b"0");
            }
            _ => {}
        }
    }
    // As in the server, parameters of their own win over those in `options`.
    for (name, value) in settings(options) {
        if name.eq_ignore_ascii_case(b"role") && startup.role.is_none() {
            startup.role = role(&value);
        } else if name.eq_ignore_ascii_case(b"application_name")
            && startup.application_name.is_empty()
        {
            startup.application_name = clean(&value);
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

/// The role of a setting; `none` is none.
fn role(value: &[u8]) -> Option<Arc<str>> {
    (value != b"none").then(|| role_name(value))
}

/// `-c name=value` and `--name=value` of a command line as the server splits it: at blanks, a backslash escapes.
fn settings(options: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut words = vec![Vec::new()];
    let mut bytes = options.iter();
    while let Some(byte) = bytes.next() {
        let word = words
            .last_mut()
            .unwrap_or_else(|| unreachable!("never empty"));
        match byte {
            b'\\' => word.extend(bytes.next()),
            byte if byte.is_ascii_whitespace() => {
                if !word.is_empty() {
                    words.push(Vec::new());
                }
            }
            byte => word.push(*byte),
        }
    }
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = match word.as_slice() {
            b"-c" => words.next(),
            [b'-', b'c' | b'-', setting @ ..] => Some(setting.to_vec()),
            _ => None,
        };
        let Some(setting) = setting else { continue };
        if let Some(at) = setting.iter().position(|byte| *byte == b'=') {
            let name = setting[..at].iter().map(|byte| match byte {
                b'-' => b'_',
                byte => *byte,
            });
            settings.push((name.collect(), setting[at + 1..].to_vec()));
        }
    }
    settings
}

/// A name as it may be shown: at most 63 bytes as in the server, control characters and invalid bytes escaped.
pub fn clean(bytes: &[u8]) -> Arc<str> {
    escaped(&bytes[..bytes.len().min(NAME)])
}

/// The name of a user or role.
pub fn role_name(bytes: &[u8]) -> Arc<str> {
    apart(clean(bytes))
}

/// In quotes, when it would look like what the sensor itself says where it knows none.
pub fn apart(name: Arc<str>) -> Arc<str> {
    if name.starts_with('(') || name.starts_with("unknown (") {
        format!("\"{name}\"").into()
    } else {
        name
    }
}

/// Text as it may be shown: control characters and invalid bytes escaped.
pub fn escaped(bytes: &[u8]) -> Arc<str> {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            // Bidirectional overrides and the like make one name look like another.
            let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
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
    fn names_cannot_pass_for_what_the_sensor_says() {
        for name in ["(other)", "(unknown)", "unknown (since before start)"] {
            assert_eq!(*role_name(name.as_bytes()), format!("\"{name}\""));
        }
        assert_eq!(&*role_name(b"unknown"), "unknown");
    }

    #[test]
    fn roles_and_names_that_a_start_asks_for() {
        let role = |packet: &[u8]| parse(packet, false).role;
        assert_eq!(role(b"user\0ann\0role\0boss\0\0").as_deref(), Some("boss"));
        for options in [
            "-c role=boss",
            "-crole=boss",
            "--role=boss",
            "-c geqo=off  -c role=boss",
            "-c x=a\\ -c\\ role=x --ROLE=boss",
        ] {
            let packet = format!("user\0ann\0options\0{options}\0\0");
            assert_eq!(
                role(packet.as_bytes()).as_deref(),
                Some("boss"),
                "{options}"
            );
        }
        assert_eq!(role(b"user\0ann\0options\0-c role=none\0\0"), None);
        let startup = parse(b"user\0ann\0options\0-c application_name=x\0\0", false);
        assert_eq!(&*startup.application_name, "x");
    }
}
