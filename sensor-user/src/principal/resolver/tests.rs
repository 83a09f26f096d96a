//! Who it was, record by record.

use sensor_ebpf::record::{FAMILY_INET, RecordHeader};

use super::*;

fn resolver(max_principals: usize) -> Resolver {
    Resolver::new(max_principals, &Principals::default())
}

fn open(connection: u64, peer_socket: u64) -> OpenRecord {
    OpenRecord {
        header: RecordHeader {
            connection,
            ..RecordHeader::default()
        },
        family: FAMILY_UNIX,
        peer_socket,
        peer_uid: 0,
        ..OpenRecord::default()
    }
}

#[test]
fn joins_both_ends_of_a_unix_socket() {
    let mut resolver = resolver(10);
    let mut command = [0; 16];
    command[..4].copy_from_slice(b"psql");
    resolver.local_client(&LocalClientRecord {
        socket: 77,
        family: FAMILY_UNIX,
        uid: 0,
        login_uid: 4_000_000,
        pid: 42,
        command,
        ..LocalClientRecord::default()
    });
    resolver.opened(&open(1, 77), Timestamp(1));
    resolver.started(1, b"user\0ann\0\0", false);
    let session = resolver.session(1).expect("session").clone();
    assert_eq!(&*session.program, "psql");
    assert_eq!(session.client_pid, Some(42));
    let principal = resolver.principal(session.principal);
    assert_eq!(principal.user.as_deref(), Some("ann"));
    assert_eq!(principal.os_user.as_ref().map(|user| user.uid), Some(0));
    assert_eq!(
        principal.login_user.as_ref().map(|user| &*user.name),
        Some("4000000")
    );
}

#[test]
fn a_local_client_told_of_after_its_connection_is_joined_to_it() {
    let (address, local_port) = (1, 40_000);
    let mut loopback = [0; 16];
    loopback[..4].copy_from_slice(&[127, 0, 0, address]);
    for told_first in [false, true] {
        let mut resolver = resolver(10);
        let mut server = open(1, 0);
        server.family = FAMILY_INET;
        server.remote_address = loopback;
        server.remote_port = local_port;
        server.local_port = 5432;
        resolver.opened(&server, Timestamp(1));
        if told_first {
            resolver.started(1, b"user\0ann\0\0", false);
        }
        resolver.local_client(&LocalClientRecord {
            family: FAMILY_INET,
            uid: 0,
            login_uid: UNSET,
            pid: 42,
            local_address: loopback,
            local_port,
            remote_port: 5432,
            ..LocalClientRecord::default()
        });
        if !told_first {
            resolver.started(1, b"user\0ann\0\0", false);
        }
        let session = resolver.session(1).expect("session").clone();
        assert_eq!(session.client_pid, Some(42));
        let principal = resolver.principal(session.principal);
        assert_eq!(principal.user.as_deref(), Some("ann"));
        assert_eq!(principal.os_user.as_ref().map(|user| user.uid), Some(0));
        resolver.closed(1);
        assert_eq!(resolver.clients.open(), 0);
    }
}

#[test]
fn a_connection_that_closes_is_awaited_no_longer() {
    let mut resolver = resolver(10);
    let mut server = open(1, 0);
    server.family = FAMILY_INET;
    resolver.opened(&server, Timestamp(1));
    assert!(resolver.clients.open() > 0);
    resolver.closed(1);
    assert_eq!(resolver.clients.open(), 0);
}

#[test]
fn equal_principals_are_one() {
    let mut resolver = resolver(10);
    for connection in 1..=2 {
        resolver.opened(&open(connection, 0), Timestamp(1));
        resolver.started(connection, b"user\0ann\0\0", false);
    }
    assert_eq!(
        resolver.session(1).map(|session| session.principal),
        resolver.session(2).map(|session| session.principal)
    );
}

#[test]
fn more_principals_than_allowed_become_other() {
    let mut resolver = resolver(3);
    for connection in 1..=10 {
        resolver.opened(&open(connection, 0), Timestamp(1));
        resolver.started(
            connection,
            format!("user\0u{connection}\0\0").as_bytes(),
            false,
        );
    }
    assert!(resolver.principals().len() <= 4);
    assert!(resolver.folded() > 0);
    let last = resolver.session(10).expect("session").principal;
    assert_eq!(resolver.principal(last).user.as_deref(), Some("(other)"));
}
