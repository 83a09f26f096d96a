//! TLS of a server: is it offered, and where in the server's memory is it done?

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Where a server's TLS is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// In a shared library, which can be probed.
    Library(Library),
    /// Elsewhere; why it can't be seen.
    Hidden(String),
}

/// OpenSSL's library as a server has it in its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Through the server's own root, so that it is the one of its container.
    pub path: PathBuf,
    /// As the server sees it.
    pub shown: String,
    /// Device and inode: many servers share a library.
    pub file: (u64, u64),
}

/// Begin of the names of the libraries that do TLS, and that read certificates.
const TLS: &str = "libssl";
/// See [`TLS`].
const CERTIFICATES: &str = "libcrypto";

/// Finds the library that this process has mapped.
pub fn find(pid: u32) -> Tls {
    find_library(pid, TLS)
}

/// Finds the one that reads certificates for it.
pub fn find_certificates(pid: u32) -> Tls {
    find_library(pid, CERTIFICATES)
}

fn find_library(pid: u32, name: &str) -> Tls {
    match fs::read_to_string(format!("/proc/{pid}/maps")) {
        Err(error) => Tls::Hidden(format!("its memory map can't be read: {error}")),
        Ok(maps) => library(pid, &maps, name),
    }
}

fn library(pid: u32, maps: &str, name: &str) -> Tls {
    let Some(shown) = mapped_library(maps, name) else {
        return Tls::Hidden(format!(
            "no OpenSSL library ({name}) is in its memory: TLS is linked into the server itself, done by another library, \
             or not built in"
        ));
    };
    if let Some(path) = shown.strip_suffix(" (deleted)") {
        return Tls::Hidden(format!(
            "its {path} was replaced on disk since it started: restart the server"
        ));
    }
    let path = PathBuf::from(format!("/proc/{pid}/root{shown}"));
    match fs::metadata(&path) {
        Ok(found) => Tls::Library(Library {
            path,
            shown: shown.to_owned(),
            file: (found.dev(), found.ino()),
        }),
        Err(error) => Tls::Hidden(format!("its {shown} can't be read: {error}")),
    }
}

/// Path of the first executable mapping of an OpenSSL library.
pub fn mapped(maps: &str) -> Option<&str> {
    mapped_library(maps, TLS)
}

/// The same of a library of this name.
fn mapped_library<'a>(maps: &'a str, begins: &str) -> Option<&'a str> {
    maps.lines().find_map(|line| {
        // address perms offset dev inode path
        let mut rest = line;
        let mut fields = [""; 5];
        for field in &mut fields {
            let (head, tail) = rest.split_once(' ')?;
            *field = head;
            rest = tail.trim_start();
        }
        let name = rest.rsplit('/').next().unwrap_or_default();
        let is_library = name.starts_with(begins) && name.contains(".so");
        (is_library && fields[1].contains('x')).then_some(rest)
    })
}

/// Files that a configuration may name one in the other.
const NESTED: u32 = 10;

/// Does the server offer TLS? By the last `ssl = …` of the configuration that it was started with, as far as it can be read:
/// what its command line says wins.
pub fn is_offered(data: &Path, inside: &dyn Fn(&Path) -> PathBuf, pid: u32) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    let arguments: Vec<&str> = arguments.split('\0').collect();
    if let Some(given) = setting(&arguments, "ssl") {
        return is_on(given);
    }
    let file = setting(&arguments, "config_file").map_or_else(
        || data.join("postgresql.conf"),
        |path| inside(Path::new(path)),
    );
    let mut ssl = false;
    read(&file, inside, NESTED, &mut ssl);
    read(&data.join("postgresql.auto.conf"), inside, NESTED, &mut ssl);
    ssl
}

/// The last `-c name=value` or `--name=value` of a command line.
fn setting<'a>(arguments: &[&'a str], name: &str) -> Option<&'a str> {
    arguments
        .iter()
        .filter_map(|argument| {
            let bare = argument.strip_prefix("--").unwrap_or(argument);
            let (key, value) = bare.strip_prefix("-c").unwrap_or(bare).split_once('=')?;
            (key.trim().replace('-', "_") == name).then_some(value)
        })
        .next_back()
}

fn is_on(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "on" | "true" | "yes" | "1"
    )
}

/// Reads a configuration file and those that it includes.
fn read(path: &Path, inside: &dyn Fn(&Path) -> PathBuf, nested: u32, ssl: &mut bool) {
    let Ok(text) = fs::read_to_string(path) else {
        return;
    };
    let beside = |name: &str| {
        let name = Path::new(name);
        if name.is_absolute() {
            inside(name)
        } else {
            path.parent().unwrap_or(Path::new("/")).join(name)
        }
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some((key, value)) = line.split_once(|c: char| c == '=' || c.is_whitespace()) else {
            continue;
        };
        let value = value.trim_matches(|c: char| c.is_whitespace() || c == '=' || c == '\'');
        match key.to_ascii_lowercase().as_str() {
            "ssl" => *ssl = is_on(value),
            "include" | "include_if_exists" if nested > 0 => {
                read(&beside(value), inside, nested - 1, ssl);
            }
            "include_dir" if nested > 0 => {
                let mut files: Vec<PathBuf> = fs::read_dir(beside(value))
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|file| file.extension().is_some_and(|ending| ending == "conf"))
                    .collect();
                files.sort();
                for file in files {
                    read(&file, inside, nested - 1, ssl);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_by_its_executable_mapping() {
        let maps = "\
55d0c0000000-55d0c0100000 r-xp 00000000 fe:01 11  /usr/lib/postgresql/15/bin/postgres
7f0000000000-7f0000020000 r--p 00000000 fe:01 12  /usr/lib/x86_64-linux-gnu/libssl.so.3
7f0000020000-7f0000080000 r-xp 00020000 fe:01 12  /opt/my libs/libssl.so.3
7f0000080000-7f0000090000 rw-p 00000000 00:00 0
";
        assert_eq!(mapped(maps), Some("/opt/my libs/libssl.so.3"));
        assert_eq!(
            mapped("7f0000080000-7f0000090000 r-xp 00000000 00:00 0"),
            None
        );
        assert_eq!(mapped_library(maps, CERTIFICATES), None);
        let both = format!(
            "{maps}7f0000090000-7f00000a0000 r-xp 00000000 fe:01 13  /usr/lib/libcrypto.so.3\n"
        );
        assert_eq!(mapped(&both), mapped(maps));
        let certificates = mapped_library(&both, CERTIFICATES);
        assert_eq!(certificates, Some("/usr/lib/libcrypto.so.3"));
        let without = "7f00-7f01 r-xp 00000000 fe:01 11 /usr/lib/libssl/postgres\n";
        assert_eq!(mapped(without), None);
    }

    #[test]
    fn a_replaced_library_is_told() {
        let maps = "7f00-7f01 r-xp 00000000 fe:01 12 /usr/lib/libssl.so.3 (deleted)\n";
        let Tls::Hidden(why) = library(1, maps, TLS) else {
            panic!("found");
        };
        assert!(why.contains("libssl.so.3 was replaced"), "{why}");
        let Tls::Hidden(why) = library(1, "", TLS) else {
            panic!("found");
        };
        assert!(why.contains("linked into the server"), "{why}");
    }

    #[test]
    fn command_lines_say_settings() {
        let arguments = [
            "postgres",
            "-D",
            "/data",
            "-c",
            "ssl=on",
            "--config-file=/etc/x",
        ];
        assert_eq!(setting(&arguments, "ssl"), Some("on"));
        assert_eq!(setting(&arguments, "config_file"), Some("/etc/x"));
        assert_eq!(setting(&["postgres", "-cssl=off"], "ssl"), Some("off"));
        assert_eq!(setting(&["postgres"], "ssl"), None);
    }

    #[test]
    fn configurations_include_others() {
        let folder = std::env::temp_dir().join(format!("discover-tls-{}", std::process::id()));
        let more = folder.join("conf.d");
        fs::create_dir_all(&more).expect("temporary directory");
        let main = folder.join("postgresql.conf");
        fs::write(&main, "#ssl = on\ninclude_dir = 'conf.d'\n").expect("write");
        fs::write(more.join("10-tls.conf"), "ssl on # since today\n").expect("write");
        fs::write(more.join("not.txt"), "ssl = off\n").expect("write");
        let read_all = || {
            let mut ssl = false;
            read(&main, &|path| path.to_owned(), NESTED, &mut ssl);
            ssl
        };
        assert!(read_all());
        fs::write(more.join("20-no.conf"), "SSL = 'off'\n").expect("write");
        assert!(!read_all());
        // One that includes itself ends.
        fs::write(&main, "include 'postgresql.conf'\nssl = on\n").expect("write");
        assert!(read_all());
        fs::remove_dir_all(&folder).expect("clean up");
    }
}
