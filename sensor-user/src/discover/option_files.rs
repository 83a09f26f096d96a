//! What a MySQL or MariaDB server was told, by its option files and its command line: as far as they can be read.
//!
//! Source: MariaDB Knowledge Base, "Configuring MariaDB with Option Files", and MySQL Reference Manual, "Using Option Files".

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Read by every server unless it is told otherwise.
const DEFAULTS: [&str; 2] = ["/etc/my.cnf", "/etc/mysql/my.cnf"];

/// Files that may name each other.
const NESTED: u32 = 10;

/// Options by name, `_` for each `-`; those without a value have an empty one. What is said last counts.
#[derive(Debug, Default)]
pub struct Options(HashMap<String, String>);

impl Options {
    /// Those of a server that was started with this command line; `inside` leads to a path as the server sees it.
    pub fn of(command_line: &[u8], inside: &dyn Fn(&Path) -> PathBuf) -> Self {
        let line = String::from_utf8_lossy(command_line);
        let arguments: Vec<&str> = line.split('\0').skip(1).collect();
        let named = |option: &str| {
            arguments
                .iter()
                .find_map(|argument| argument.strip_prefix(option)?.strip_prefix('='))
        };
        let mut options = Self::default();
        if let Some(file) = named("--defaults-file") {
            options.read(Path::new(file), inside, NESTED);
        } else if !arguments.contains(&"--no-defaults") {
            for file in DEFAULTS {
                options.read(Path::new(file), inside, NESTED);
            }
            if let Some(file) = named("--defaults-extra-file") {
                options.read(Path::new(file), inside, NESTED);
            }
        }
        for option in arguments
            .iter()
            .filter_map(|argument| argument.strip_prefix("--"))
        {
            options.set(option);
        }
        options
    }

    /// What an option was set to.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Was this switched off, in any of the ways there are?
    pub fn is_off(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| {
            matches!(
                value.to_ascii_lowercase().as_str(),
                "0" | "off" | "false" | "no"
            )
        })
    }

    /// Takes `name`, `name=value`, `skip-name`, `disable-name`.
    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let name = name.trim().replace('-', "_");
        let name = name.strip_prefix("loose_").unwrap_or(&name);
        let value = value
            .trim()
            .trim_matches(|quote| quote == '"' || quote == '\'');
        let negated = name
            .strip_prefix("skip_")
            .or_else(|| name.strip_prefix("disable_"));
        if let Some(negated) = negated {
            self.0.insert(negated.to_owned(), "off".to_owned());
        }
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Reads a file and those that it includes; `path` as the server sees it.
    fn read(&mut self, path: &Path, inside: &dyn Fn(&Path) -> PathBuf, nested: u32) {
        let Ok(text) = fs::read_to_string(inside(path)) else {
            return;
        };
        let mut ours = false;
        for line in text.lines().map(str::trim) {
            if let Some(group) = line.strip_prefix('[') {
                ours = is_servers(group.split(']').next().unwrap_or_default().trim());
            } else if let Some(file) = line.strip_prefix("!include ") {
                if nested > 0 {
                    self.read(Path::new(file.trim()), inside, nested - 1);
                }
            } else if let Some(folder) = line.strip_prefix("!includedir ") {
                if nested > 0 {
                    self.read_all(Path::new(folder.trim()), inside, nested - 1);
                }
            } else if ours && !line.starts_with(['#', ';']) && !line.is_empty() {
                self.set(line.split(" #").next().unwrap_or_default());
            }
        }
    }

    fn read_all(&mut self, folder: &Path, inside: &dyn Fn(&Path) -> PathBuf, nested: u32) {
        let mut names: Vec<_> = fs::read_dir(inside(folder))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| Path::new(name).extension().is_some_and(|end| end == "cnf"))
            .collect();
        names.sort();
        for name in names {
            self.read(&folder.join(name), inside, nested);
        }
    }
}

/// Does a server read this group? (`mysqld`, `mysqld-8.4`, `mariadb`, `mariadbd-11.4`, `server`, `galera`, …)
fn is_servers(group: &str) -> bool {
    let (name, version) = group.split_once('-').unwrap_or((group, ""));
    matches!(
        name,
        "mysqld" | "mariadb" | "mariadbd" | "server" | "galera"
    ) && version.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_servers_are_known() {
        for group in [
            "mysqld",
            "mysqld-8.4",
            "mariadb",
            "mariadbd-11.4",
            "server",
            "galera",
        ] {
            assert!(is_servers(group), "{group}");
        }
        for group in [
            "client",
            "mysql",
            "mariadb-dump",
            "mariadb-client",
            "mysqld_safe",
        ] {
            assert!(!is_servers(group), "{group}");
        }
    }

    #[test]
    fn what_is_said_last_counts() {
        let root = std::env::temp_dir().join(format!("option-files-{}", std::process::id()));
        let folder = root.join("etc/mysql/conf.d");
        fs::create_dir_all(&folder).expect("temporary directory");
        let write = |name: &str, text: &str| fs::write(root.join(name), text).expect("write");
        write(
            "etc/mysql/my.cnf",
            "[client]\nssl-ca = /no\n[mysqld]\nssl_cert=\"/a.pem\" # ours\nport = 1\n!includedir /etc/mysql/conf.d\n",
        );
        write("etc/mysql/conf.d/b.cnf", "[mariadb]\nskip-ssl\nport=2\n");
        write("etc/mysql/conf.d/c.txt", "[mariadb]\nport=3\n");
        write("own.cnf", "[mysqld]\nport=4\n!include /own.cnf\n");
        let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let of = |line: &str| Options::of(line.replace(' ', "\0").as_bytes(), &inside);
        let options = of("mariadbd --datadir=/data");
        assert_eq!(options.get("ssl_cert"), Some("/a.pem"));
        assert_eq!(options.get("ssl_ca"), None);
        assert_eq!(options.get("port"), Some("2"));
        assert_eq!(options.get("datadir"), Some("/data"));
        assert!(options.is_off("ssl"));
        assert!(!of("mariadbd --ssl=1").is_off("ssl"));
        assert!(of("mariadbd --ssl=OFF").is_off("ssl"));
        assert_eq!(of("mariadbd --no-defaults").get("port"), None);
        assert_eq!(
            of("mariadbd --defaults-file=/own.cnf").get("port"),
            Some("4")
        );
        assert_eq!(
            of("mariadbd --defaults-extra-file=/own.cnf").get("port"),
            Some("4")
        );
        assert_eq!(of("").get("port"), Some("2"));
        fs::remove_dir_all(&root).expect("clean up");
    }
}
