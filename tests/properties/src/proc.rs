//! The kernel's tables about processes, in which names are what programs make of them.

use std::collections::HashSet;

use sensor_user::{
    discover::{listening, of_stat, tls},
    kernel::uprobe,
    principal::{ClientAddress, container, process::Stat, title},
};

use crate::mode;

/// The table that the first byte says.
pub fn check(input: &[u8]) {
    let (mode, table) = mode(input);
    let text = String::from_utf8_lossy(table);
    match mode % 6 {
        0 => sockets(&text),
        1 => stat(table, &text),
        2 => maps(&text),
        3 => cgroup(&text),
        4 => process_title(table),
        _ => {
            for each in [sockets, maps, cgroup] {
                each(&text);
            }
            stat(table, &text);
        }
    }
}

fn sockets(table: &str) {
    let own: HashSet<String> = ["12345", "777", "0"].map(str::to_owned).into();
    let lines = table.lines().count();
    assert!(listening::tcp_ports(table, &own).len() <= lines);
    for path in listening::unix_sockets(table, &own) {
        assert!(table.contains(&*path.to_string_lossy()));
    }
    let none = HashSet::new();
    assert!(listening::tcp_ports(table, &none).is_empty());
    assert!(listening::unix_sockets(table, &none).is_empty());
}

fn stat(table: &[u8], text: &str) {
    let discovered = of_stat(text);
    let parsed = Stat::parse(table);
    if let (Some((command, _)), Some(parsed)) = (discovered, parsed) {
        assert_eq!(command, parsed.command, "two names of one process");
    }
}

fn maps(table: &str) {
    if let Some(path) = tls::mapped(table) {
        assert!(path.contains("libssl") && path.contains(".so"), "{path}");
    }
    uprobe::offset(table, 0x55d0_b010);
}

fn cgroup(table: &str) {
    let found = container::parse(table);
    for name in [found.id, found.pod].into_iter().flatten() {
        assert!(!name.is_empty() && name.len() <= 64, "{name:?}");
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    }
}

fn process_title(title: &[u8]) {
    let remote = ClientAddress::Ip([10, 0, 0, 1].into());
    for client in [remote, ClientAddress::Unix, ClientAddress::Unknown] {
        if let Some((user, database)) = title::parse(title, client, 4711) {
            assert_ne!(client, ClientAddress::Unknown);
            for name in [user, database] {
                assert!(!name.chars().any(char::is_control), "{name:?}");
            }
        }
    }
}
