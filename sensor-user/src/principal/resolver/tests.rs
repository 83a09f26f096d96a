//! Who it was, record by record.

use sensor_ebpf::record::{FAMILY_INET, RecordHeader};

use super::*;
use crate::principal::identity::Field;

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
        cookie: 7,
        family: FAMILY_UNIX,
        uid: 0,
        login_uid: 4_000_000,
        pid: 42,
        command,
        ..LocalClientRecord::default()
    });
    resolver.opened(
        &OpenRecord {
            peer_cookie: 7,
            ..open(1, 77)
        },
        Timestamp(1),
    );
    resolver.started(1, 0, b"user\0ann\0\0", false);
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
            resolver.started(1, 0, b"user\0ann\0\0", false);
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
            resolver.started(1, 0, b"user\0ann\0\0", false);
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
        resolver.started(connection, 0, b"user\0ann\0\0", false);
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
            0,
            format!("user\0u{connection}\0\0").as_bytes(),
            false,
        );
    }
    assert!(resolver.principals().len() <= 4);
    assert!(resolver.folded() > 0);
    let last = resolver.session(10).expect("session").principal;
    assert_eq!(resolver.principal(last).user.as_deref(), Some("(other)"));
}

fn client(cookie: u64, socket: u64, uid: u32) -> LocalClientRecord {
    LocalClientRecord {
        cookie,
        socket,
        family: FAMILY_UNIX,
        uid,
        login_uid: UNSET,
        pid: 42,
        ..LocalClientRecord::default()
    }
}

fn uid(resolver: &Resolver, connection: u64) -> Option<u32> {
    let session = resolver.session(connection).expect("session");
    let user = resolver.principal(session.principal).os_user.clone();
    user.map(|user| user.uid)
}

#[test]
fn another_socket_at_the_same_place_is_another_client() {
    let mut resolver = resolver(10);
    let of = |connection, peer_cookie| OpenRecord {
        peer_cookie,
        peer_uid: UNSET,
        ..open(connection, 77)
    };
    resolver.local_client(&client(7, 77, 5));
    resolver.opened(&of(1, 7), Timestamp(1));
    resolver.started(1, 0, b"user\0ann\0\0", false);
    assert_eq!(uid(&resolver, 1), Some(5));
    // Its successor is told of while it is not yet known to have ended, and after its own server's end.
    resolver.opened(&of(2, 8), Timestamp(2));
    resolver.started(2, 0, b"user\0ann\0\0", false);
    assert_eq!(uid(&resolver, 2), None);
    resolver.local_client(&client(8, 77, 6));
    assert_eq!((uid(&resolver, 1), uid(&resolver, 2)), (Some(5), Some(6)));
    resolver.closed(1);
    // Who goes on with a socket is who it is from then on.
    resolver.local_client(&client(8, 77, 9));
    assert_eq!(uid(&resolver, 2), Some(9));
    resolver.closed(2);
    assert_eq!(resolver.clients.open(), 0);
}

#[test]
fn both_ends_of_tcp_are_tied_across_namespaces_and_hands() {
    let mut resolver = resolver(10);
    let tcp = |sequence, uid, cookie| LocalClientRecord {
        family: FAMILY_INET,
        netns: 1,
        sequence,
        local_address: [1; 16],
        remote_address: [2; 16],
        local_port: 40_000,
        remote_port: 5432,
        ..client(cookie, 0, uid)
    };
    let server = |connection, sequence| OpenRecord {
        family: FAMILY_INET,
        netns: 2,
        sequence,
        // Translated on the way.
        remote_address: [3; 16],
        remote_port: 40_000,
        local_port: 5432,
        ..open(connection, 0)
    };
    resolver.local_client(&tcp(1000, 5, 7));
    resolver.opened(&server(1, 1000), Timestamp(1));
    resolver.started(1, 0, b"user\0ann\0\0", false);
    // From another host, with the same port.
    resolver.opened(&server(2, 2000), Timestamp(1));
    resolver.started(2, 0, b"user\0ann\0\0", false);
    assert_eq!((uid(&resolver, 1), uid(&resolver, 2)), (Some(5), None));
    resolver.local_client(&tcp(1500, 6, 7));
    assert_eq!((uid(&resolver, 1), uid(&resolver, 2)), (Some(6), None));
}

/// A server at process 10 and a pooler at 20.
fn with_pooler() -> Resolver {
    let server = |pid, pooler, name: &str| Server {
        pooler,
        name: name.into(),
        ..Server::plain(pid)
    };
    let mut resolver = resolver(10);
    resolver.set_servers(&[server(10, false, "15/main"), server(20, true, "pgbouncer")]);
    resolver
}

/// A client of the pooler.
fn front(resolver: &mut Resolver, connection: u64, user: &str) {
    resolver.opened(
        &OpenRecord {
            server_pid: 20,
            server_parent: 1,
            ..open(connection, 0)
        },
        Timestamp(1),
    );
    let told = format!("user\0{user}\0database\0crm\0\0");
    resolver.started(connection, 0, told.as_bytes(), false);
}

/// The pooler, at the server.
fn back(resolver: &mut Resolver, connection: u64) {
    let mut command = [0; 16];
    command[..9].copy_from_slice(b"pgbouncer");
    resolver.opened(
        &OpenRecord {
            server_pid: 11,
            server_parent: 10,
            peer_cookie: connection,
            ..open(connection, 0)
        },
        Timestamp(2),
    );
    resolver.local_client(&LocalClientRecord {
        cookie: connection,
        family: FAMILY_UNIX,
        pid: 20,
        command,
        ..LocalClientRecord::default()
    });
    resolver.started(connection, 0, b"user\0pool\0database\0crm\0\0", false);
}

#[test]
fn certificates_tell_people_with_one_database_user_apart() {
    let mut resolver = resolver(10);
    let who = |resolver: &Resolver, connection| {
        let session = resolver.session(connection).expect("session");
        (*resolver.principal(session.principal)).clone()
    };
    let packet = b"user\0desk\0\0";
    for (connection, name) in [(1, &b"ann"[..]), (2, b"bob"), (3, b"ann"), (4, b"a\0b")] {
        resolver.opened(&open(connection, connection), Timestamp(1));
        resolver.certified(connection, name, false);
        resolver.started(connection, 0, packet, false);
    }
    resolver.opened(&open(5, 5), Timestamp(1));
    resolver.started(5, 0, packet, false);
    assert_eq!(who(&resolver, 1).user.as_deref(), Some("desk"));
    assert_eq!(
        who(&resolver, 1).more,
        [(Field::Certificate, "CN=ann".into())]
    );
    assert_eq!(
        who(&resolver, 2).more,
        [(Field::Certificate, "CN=bob".into())]
    );
    assert_eq!(who(&resolver, 1), who(&resolver, 3));
    assert_eq!(who(&resolver, 4), who(&resolver, 5), "that one is refused");
    assert!(who(&resolver, 5).more.is_empty());
    // Of a connection whose start-up packet is not seen, it is all there is.
    resolver.opened(&open(6, 6), Timestamp(1));
    assert!(resolver.begin(6));
    resolver.certified(6, b"ann", false);
    assert_eq!(who(&resolver, 6).user, None);
    assert_eq!(who(&resolver, 6).more, who(&resolver, 1).more);
    // Of none that is known.
    resolver.certified(7, b"ann", false);
    assert!(resolver.session(7).is_none());
}

#[test]
fn who_uses_a_pooler_is_with_the_server_behind_it() {
    let mut resolver = with_pooler();
    let server = |resolver: &Resolver, connection| {
        let session = resolver.session(connection).expect("session");
        resolver.principal(session.principal).server.to_string()
    };
    front(&mut resolver, 1, "ann");
    assert_eq!(server(&resolver, 1), "pgbouncer");
    back(&mut resolver, 2);
    assert_eq!(server(&resolver, 1), "15/main");
    front(&mut resolver, 3, "bob");
    assert_eq!(server(&resolver, 3), "15/main");
    // Its own connection is the pooler's, and counts at its front.
    let session = resolver.session(2).expect("session").clone();
    let principal = resolver.principal(session.principal).clone();
    assert_eq!(principal.more, [(Field::Pooler, "pgbouncer".into())]);
    assert!(resolver.is_counted_at_front(&session));
    let clients = resolver.session(1).expect("session").clone();
    assert!(!resolver.is_counted_at_front(&clients));
}

#[test]
fn a_pooler_with_a_client_that_is_not_understood_counts_itself() {
    let mut resolver = with_pooler();
    back(&mut resolver, 2);
    let session = resolver.session(2).expect("session").clone();
    assert!(resolver.is_counted_at_front(&session));
    front(&mut resolver, 1, "ann");
    resolver.understood(1, false);
    assert!(!resolver.is_counted_at_front(&session));
    resolver.closed(1);
    assert!(resolver.is_counted_at_front(&session));
    // One that was there before the sensor, until it says something whole.
    let mut early = open(3, 0);
    early.server_pid = 20;
    early.header.flags = OPEN_PREEXISTING;
    resolver.opened(&early, Timestamp(1));
    assert!(!resolver.is_counted_at_front(&session));
    resolver.understood(3, true);
    assert!(resolver.is_counted_at_front(&session));
    // A pooler that runs no more has no front.
    resolver.set_servers(&[]);
    assert!(!resolver.is_counted_at_front(&session));
}

/// A connection of Redis', seen from its beginning or not.
fn redis(connection: u64, preexisting: bool) -> Resolver {
    speaks(Protocol::Redis, connection, preexisting)
}

fn speaks(protocol: Protocol, connection: u64, preexisting: bool) -> Resolver {
    let mut resolver = resolver(10);
    let mut record = open(connection, 0);
    record.header.tag = protocol as u8;
    record.header.flags = if preexisting { OPEN_PREEXISTING } else { 0 };
    record.family = FAMILY_INET;
    record.remote_address[..4].copy_from_slice(&[10, 0, 0, 1]);
    resolver.opened(&record, Timestamp(1));
    resolver.begin(connection);
    resolver
}

fn user(resolver: &Resolver) -> Option<&str> {
    let session = resolver.session(1).expect("session");
    session.who.user.as_deref()
}

const CLAIM: u8 = StartupKind::Redis as u8;

#[test]
fn a_redis_client_is_who_the_server_took_it_for() {
    let mut resolver = redis(1, false);
    assert_eq!(user(&resolver), Some("default"));
    assert_eq!(&*resolver.session(1).expect("session").database, "0");
    resolver.started(1, CLAIM, b"\x01Uann", false);
    assert_eq!(user(&resolver), Some("default"), "not yet");
    assert!(resolver.answered(1, 1, Some(false)));
    assert_eq!(user(&resolver), Some("default"), "refused");
    resolver.started(1, CLAIM, b"\x02Nshop", false);
    resolver.started(1, CLAIM, b"\x02Ubob", false);
    assert!(resolver.answered(1, 2, Some(true)));
    assert_eq!(user(&resolver), Some("bob"));
    assert_eq!(
        &*resolver.session(1).expect("session").application_name,
        "shop"
    );
    assert!(!resolver.answered(1, 3, Some(true)), "nothing was told");
    // Whether it works is not known: nobody is named wrongly.
    resolver.started(1, CLAIM, b"\x04Ucarl", false);
    assert!(resolver.answered(1, 4, None));
    assert_eq!(user(&resolver), None);
    resolver.started(1, CLAIM, b"\x05P", false);
    assert!(resolver.answered(1, 5, Some(true)));
    assert_eq!(user(&resolver), Some("default"));
    resolver.started(1, CLAIM, b"\x00?", false);
    assert_eq!(user(&resolver), None);
    resolver.uses(1, "7".into());
    resolver.reset(1);
    let session = resolver.session(1).expect("session");
    assert_eq!(
        (
            user(&resolver),
            &*session.database,
            &*session.application_name
        ),
        (Some("default"), "0", "")
    );
}

#[test]
fn a_user_of_mysqls_is_who_the_server_took_it_for() {
    const CHANGE: u8 = StartupKind::MySqlChangeUser as u8;
    const REFUSED: u8 = StartupKind::MySqlRefused as u8;
    const UNKNOWN: u8 = StartupKind::MySqlUnknown as u8;
    let database = |resolver: &Resolver| resolver.session(1).expect("session").database.clone();
    let mut resolver = speaks(Protocol::MySql, 1, false);
    resolver.started(1, CHANGE, b"ann\0\0shop\0", false);
    assert_eq!(user(&resolver), Some("ann"));
    resolver.started(1, CHANGE, b"bob\0\0crm\0", false);
    assert_eq!(
        (user(&resolver), &*database(&resolver)),
        (Some("bob"), "crm")
    );
    resolver.started(1, REFUSED, b"", false);
    assert_eq!(
        (user(&resolver), &*database(&resolver)),
        (Some("ann"), "shop")
    );
    resolver.started(1, REFUSED, b"", false);
    assert_eq!(user(&resolver), Some("ann"), "nothing was asked for");
    resolver.started(1, UNKNOWN, b"", false);
    assert_eq!(user(&resolver), None);
    // Of an older one, the server has said who it is.
    let mut older = speaks(Protocol::MySql, 1, true);
    older.started(1, CHANGE, b"ann\0\0shop\0", false);
    older.started(1, UNKNOWN, b"", false);
    assert_eq!(user(&older), Some("ann"));
}

#[test]
fn an_older_redis_client_is_nobody_until_it_logs_in() {
    let mut resolver = redis(1, true);
    assert_eq!(user(&resolver), None);
    let shown = resolver
        .session(1)
        .expect("session")
        .who
        .shown_user()
        .to_owned();
    assert_eq!(shown, crate::principal::BEFORE_START);
    resolver.started(1, CLAIM, b"\x01Uann", false);
    resolver.answered(1, 1, Some(true));
    assert_eq!(user(&resolver), Some("ann"));
}
