//! Packets that MySQL has and MariaDB has not, or that few clients ask for.

use harness::{
    CONFIGURATION, Differences, Sensor, Turn, Volume,
    mysql::{Kind, Server},
    mysql_raw::{DEPRECATE_EOF, OPTIONAL_METADATA, QUERY_ATTRIBUTES, Raw},
};

use crate::{counts, finish, is_followed, known, rows_sent, script, server, shell, users};

/// What connections agree upon, and a user for each.
const AGREED: [(&str, u32); 6] = [
    ("nothing", 0),
    ("ends", DEPRECATE_EOF),
    ("attributes", QUERY_ATTRIBUTES),
    ("attributes_ends", QUERY_ATTRIBUTES | DEPRECATE_EOF),
    ("optional", OPTIONAL_METADATA),
    (
        "everything",
        OPTIONAL_METADATA | QUERY_ATTRIBUTES | DEPRECATE_EOF,
    ),
];

/// Rows that [`cursor`] fetches: all of a table, and some of it.
const FETCHED: u64 = 1000 + 70;

/// Statements of the conversations.
const KNOWN: [&str; 7] = [
    "SELECT items",
    "SELECT",
    "DO",
    "CALL",
    "CREATE TABLE work",
    "INSERT work items",
    "SET",
];

#[test]
fn cursors_attributes_and_results_without_descriptions() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    for server in [Kind::MySql, Kind::MariaDb].map(server) {
        let kind = server.kind();
        let agreed = AGREED
            .iter()
            .filter(|(_, capabilities)| kind == Kind::MySql || capabilities & !DEPRECATE_EOF == 0);
        let agreed: Vec<_> = agreed.collect();
        for (user, _) in &agreed {
            server.sql(&format!("CREATE USER {user}; GRANT ALL ON *.* TO {user}"));
        }
        users(&server, []);
        let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
        let counted: Vec<_> = agreed
            .iter()
            .map(|(user, capabilities)| converse(&server, user, *capabilities))
            .collect();
        let series = finish(&server, sensor).metrics();
        let mut differences = Differences::default();
        for ((user, _), counted) in agreed.iter().zip(counted) {
            let got = Volume::anywhere(&series, user);
            differences.check(&format!("{kind:?}, {user}"), &counted, &got);
            // Of rows that are fetched, MariaDB keeps no count.
            let uncounted = match kind {
                Kind::MariaDb => FETCHED,
                Kind::MySql => 0,
            };
            differences.check(
                &format!("{kind:?}, {user}: rows, by the server's count"),
                &(rows_sent(&server, user) + uncounted),
                &got.rows_returned,
            );
            // Every statement has its name, whatever stood in front of it.
            let unnamed: Vec<_> = Volume::by_statement(&series, "shop", user)
                .into_iter()
                .filter(|(name, volume)| volume.queries > 0 && !KNOWN.contains(&&**name))
                .collect();
            differences.check(&format!("{kind:?}, {user}: unnamed"), &Vec::new(), &unnamed);
        }
        differences.none();
    }
}

/// A conversation, and what it amounted to.
fn converse(server: &Server, user: &str, capabilities: u32) -> Volume {
    let mut raw = Raw::login(&server.ipv4(), user, "shop", capabilities);
    let mut counted = Volume::default();
    let mut query = |raw: &mut Raw, queries, text: &str, attributes| {
        let answer = raw.query(text, attributes);
        counted.queries += queries;
        counted.rows_returned += answer.rows;
        counted.rows_written += answer.written;
        answer
    };
    for attributes in [0, 1, 8, 9, 64, 128] {
        query(
            &mut raw,
            1,
            "SELECT id, name FROM items WHERE id <= 30",
            attributes,
        );
    }
    query(&mut raw, 1, "CALL two_results()", 2);
    query(&mut raw, 3, "SELECT 1; DO 0; SELECT id FROM items", 2);
    query(&mut raw, 1, "CREATE TEMPORARY TABLE work (id INT)", 1);
    query(
        &mut raw,
        1,
        "INSERT INTO work SELECT id FROM items WHERE id <= 40",
        1,
    );
    cursor(&mut raw, &mut counted);
    if capabilities & OPTIONAL_METADATA != 0 {
        let set = raw.query("SET resultset_metadata = NONE", 0);
        assert_eq!(set.rows, 0);
        counted.queries += 1;
        for text in [
            "SELECT * FROM items WHERE id <= 500",
            "SELECT * FROM items WHERE FALSE",
        ] {
            let answer = raw.query(text, 1);
            assert_eq!(answer.described, 0);
            counted.queries += 1;
            counted.rows_returned += answer.rows;
        }
        cursor(&mut raw, &mut counted);
    }
    (counted.bytes_received, counted.bytes_sent) = (raw.sent, raw.received);
    // Goodbye.
    counted.bytes_received += 5;
    raw.quit();
    counted
}

/// A statement that is executed at once, and with cursors of which one is read to its end.
fn cursor(raw: &mut Raw, counted: &mut Volume) {
    let statement = raw.prepare("SELECT id, name, payload FROM items WHERE id <= 1000");
    let at_once = raw.execute(statement, false);
    assert_eq!(at_once.rows, 1000);
    let opened = raw.execute(statement, true);
    assert_eq!(opened.rows, 0);
    let mut rows = 0;
    loop {
        let (fetched, more) = raw.fetch(statement, 300);
        rows += fetched;
        if !more {
            break;
        }
    }
    assert_eq!(rows, 1000);
    // Given up.
    raw.execute(statement, true);
    let (fetched, more) = raw.fetch(statement, 70);
    assert_eq!((fetched, more), (70, true));
    counted.queries += 3;
    counted.rows_returned += at_once.rows + FETCHED;
}

/// Drivers that have them, and the server's own client.
#[test]
fn query_attributes_of_clients_leave_statements_their_names() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let server = server(Kind::MySql);
    server.sql("INSTALL COMPONENT 'file://component_query_attributes'");
    let clients = ["attributes.py", "attributes.js"];
    let user = |client: &str| client.replace('.', "_");
    let names = clients.map(user);
    users(&server, names.iter().map(String::as_str).chain(["shell"]));
    known(&server, names.iter().map(String::as_str));
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let counted = clients.map(|client| script(&server, client, &server.ipv4(), &user(client), &[]));
    let printed = shell(
        &server,
        &server.unix(),
        "shell",
        &["--commands"],
        "query_attributes trace 00-abc-01 person ann\n\
         SELECT id, mysql_query_attribute_string('person') FROM items WHERE id <= 3;",
    );
    assert_eq!(printed, b"1\tann\n2\tann\n3\tann\n");
    let series = finish(&server, sensor).metrics();
    let mut differences = Differences::default();
    for (user, counted) in names.iter().zip(counted) {
        let named = Volume::by_statement(&series, "shop", user);
        let table = named.get("SELECT items").copied().unwrap_or_default();
        differences.check(user, &counted, &table.rows_only());
        let sent = rows_sent(&server, user);
        differences.check(user, &sent, &counts(&series, user).rows_returned);
    }
    let shell = Volume::by_statement(&series, "shop", "shell");
    let table = shell.get("SELECT items").copied().unwrap_or_default();
    differences.check("shell", &(1, 3), &(table.queries, table.rows_returned));
    differences.explain(|| format!("{series:#?}"));
    differences.none();
}
