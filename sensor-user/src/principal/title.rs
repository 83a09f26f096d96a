//! What a server process says of its connection in its title: `postgres: [cluster: ]user database client activity`.

use std::{collections::HashMap, fs, net::IpAddr, sync::Arc};

use super::{
    ClientAddress,
    startup::{clean, role_name},
};

/// User, and database.
pub type Named = (Arc<str>, Arc<str>);

/// Titles as they were when the programs were attached: of processes that may be gone when their connection is looked at.
#[derive(Debug, Default)]
pub struct Titles(HashMap<u32, Vec<u8>>);

impl Titles {
    /// Of all server processes that run now.
    pub fn gather() -> Self {
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(
            numbers
                .filter_map(|pid| Some((pid, title(pid)?)))
                .filter(|(_, title)| title.starts_with(BEGIN))
                .collect(),
        )
    }

    /// User and database of a connection, older than that moment, that a process serves.
    pub fn of(&self, pid: u32, client: ClientAddress, port: u16) -> Option<Named> {
        title(pid)
            .and_then(|title| parse(&title, client, port))
            .or_else(|| parse(self.0.get(&pid)?, client, port))
    }
}

fn title(pid: u32) -> Option<Vec<u8>> {
    let mut bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    Some(bytes)
}

/// How titles begin.
const BEGIN: &[u8] = b"postgres: ";

/// `None` unless the title is of this connection and says one thing only: with blanks in names it may say several.
pub fn parse(title: &[u8], client: ClientAddress, port: u16) -> Option<Named> {
    let rest = title.strip_prefix(BEGIN)?;
    let mut words: Vec<&[u8]> = rest.split(|byte| *byte == b' ').collect();
    // cluster_name ends with a colon.
    if words.first().is_some_and(|word| word.ends_with(b":")) {
        words.remove(0);
    }
    let is_client = |word: &&&[u8]| **word == b"[local]" || address(word).is_some();
    let [user, database, place, ..] = words[..] else {
        return None;
    };
    // A name that holds what looks like a client: one of the two is not it.
    if words.iter().filter(is_client).count() != 1 {
        return None;
    }
    let is_its = match client {
        ClientAddress::Unix => place == b"[local]",
        ClientAddress::Ip(ip) => address(place) == Some((ip, port)),
        ClientAddress::Unknown | ClientAddress::Any => false,
    };
    is_its.then(|| (role_name(user), clean(database)))
}

/// `address(port)`.
fn address(word: &[u8]) -> Option<(IpAddr, u16)> {
    let word = std::str::from_utf8(word).ok()?;
    let (address, port) = word.strip_suffix(')')?.rsplit_once('(')?;
    Some((
        address.parse::<IpAddr>().ok()?.to_canonical(),
        port.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(title: &str, client: ClientAddress, port: u16) -> Option<(String, String)> {
        parse(title.as_bytes(), client, port)
            .map(|(user, database)| (user.to_string(), database.to_string()))
    }

    #[test]
    fn titles() {
        let remote = ClientAddress::Ip("10.0.0.1".parse().expect("address"));
        let ann = Some(("ann".to_owned(), "crm".to_owned()));
        let title = "postgres: ann crm 10.0.0.1(4711) idle";
        assert_eq!(of(title, remote, 4711), ann);
        assert_eq!(
            of(
                "postgres: 15/main: ann crm [local] SELECT",
                ClientAddress::Unix,
                0
            ),
            ann
        );
        // Of another connection.
        assert_eq!(of(title, remote, 4712), None);
        assert_eq!(of(title, ClientAddress::Unix, 0), None);
        for title in [
            "postgres: checkpointer ",
            "postgres: walwriter",
            "/usr/lib/postgresql -D x",
            "postgres: my user crm [local] idle",
            // The user `ann crm [local]`, connected to `db`.
            "postgres: ann crm [local] db [local] idle",
            "postgres: ann crm 10.0.0.1(4711) db 10.0.0.1(4711) idle",
        ] {
            assert_eq!(of(title, ClientAddress::Unix, 0), None, "{title}");
            assert_eq!(of(title, remote, 4711), None, "{title}");
        }
    }

    #[test]
    fn a_title_outlives_its_process() {
        let title = b"postgres: ann crm [local] idle".to_vec();
        let titles = Titles(HashMap::from([(u32::MAX, title)]));
        let found = titles.of(u32::MAX, ClientAddress::Unix, 0);
        assert_eq!(found, Some(("ann".into(), "crm".into())));
        assert_eq!(titles.of(u32::MAX - 1, ClientAddress::Unix, 0), None);
    }
}
