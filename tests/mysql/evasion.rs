//! Ways to read that nobody sees, or that count as another's, if what a client asks for is taken for what the server does.

use harness::{
    CONFIGURATION, Sensor, Turn, Volume,
    mysql::Kind,
    mysql_raw::{Raw, change_user},
    otlp::Series,
};

use crate::{finish, is_followed, server};

/// `COM_BINLOG_DUMP`: from where, flags, the replica's number, the file.
const BINLOG_DUMP: &[u8] = b"\x12\x04\0\0\0\0\0\x07\0\0\0bin.000001";

#[test]
fn what_the_server_refuses_hides_nothing() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    for server in [Kind::MariaDb, Kind::MySql].map(server) {
        server.sql(
            "CREATE USER reader; GRANT SELECT ON shop.* TO reader; CREATE USER locked IDENTIFIED BY 'secret'",
        );
        let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
        let mut expected = Volume::default();
        for endpoint in [server.unix(), server.ipv4()] {
            let mut raw = Raw::login(&endpoint, "reader", "shop", 0);
            let mut read = |raw: &mut Raw, rows: u64| {
                let text = format!("SELECT id FROM items WHERE id <= {rows}");
                assert_eq!(raw.query(&text, 0).rows, rows);
                expected.queries += 1;
                expected.rows_returned += rows;
            };
            assert!(raw.is_refused(BINLOG_DUMP), "a reader may not replicate");
            read(&mut raw, 300);
            // MySQL ends such a connection.
            if server.kind() == Kind::MariaDb {
                assert!(raw.is_refused(&change_user("locked", "shop")));
                read(&mut raw, 500);
                // No command of the protocol: what follows makes sense again, but nobody knows whose it is.
                assert!(raw.is_refused(b"\x7f"));
                raw.change_user("reader", "shop");
                assert_eq!(raw.query("SELECT id FROM items WHERE id <= 40", 0).rows, 40);
            }
            raw.quit();
        }
        let series = finish(&server, sensor).metrics();
        let found = Volume::of(&series, "shop", "reader");
        assert_eq!(
            (found.queries, found.rows_returned),
            (expected.queries, expected.rows_returned),
            "{:?}: {found:?}",
            server.kind()
        );
        // The harness asks as root.
        let named = |one: &Series| one.attributes.get("user.name").cloned().unwrap_or_default();
        let others: f64 = series
            .iter()
            .filter(|one| one.name == "data_access.rows")
            .filter(|one| !["reader", "root"].contains(&&*named(one)))
            .map(|one| one.value)
            .sum();
        let unknown = if server.kind() == Kind::MariaDb {
            80.0
        } else {
            0.0
        };
        assert!((others - unknown).abs() < 0.5, "{others}: {series:#?}");
    }
}
