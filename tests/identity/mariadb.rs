//! Who is behind connections to MariaDB: one process serves them all, its unix socket has any name, and it speaks first.

use std::{collections::BTreeMap, process::Command, time::Duration};

use harness::{CONFIGURATION, MariaDb, Sensor, Turn, is_lowest_rung, pause};

use crate::scene::{As, rows_by};

/// nobody, and the users of Debian's `games` and `man` as logins.
const NOBODY: u32 = 65534;
const LOGINS: [(u32, &str); 2] = [(5, "games"), (6, "man")];

const KEYS: [&str; 5] = [
    "user.name",
    "process.user.name",
    "data_access.login_user.name",
    "client.address",
    "data_access.tags",
];

#[test]
fn a_login_shows_through_sudo_on_mariadb_and_who_asks_in_comments() {
    let turn = Turn::take();
    if is_lowest_rung(&turn) {
        // No connection of MariaDB's is followed there.
        return;
    }
    let server = MariaDb::start(&[]);
    server.sql(
        "CREATE DATABASE desk; USE desk; CREATE TABLE items AS SELECT seq AS id FROM seq_1_to_2000; CREATE USER ann; \
         GRANT SELECT ON desk.* TO ann",
    );
    let sensor = Sensor::start(
        &turn,
        &format!("{CONFIGURATION}\n[principals]\ntags = [\"person\"]"),
        &[],
    );
    let mut expected = BTreeMap::new();
    let mut rows = 100;
    for (login_uid, login) in LOGINS {
        for address in ["local", "127.0.0.1"] {
            rows += 1;
            let mut client = Command::new("mariadb");
            client.args(["--no-defaults", "--batch", "--comments"]);
            client.args(["--user=ann", "--database=desk"]);
            if address == "local" {
                client.arg(format!("--socket={}", server.socket().display()));
            } else {
                client.args(["--protocol=tcp", "--host", address]);
                client.arg(format!("--port={}", server.port));
            }
            // Of the application behind it, each way has another person.
            client.arg(format!(
                "-e SELECT id FROM items WHERE id <= {rows} /*person='p{address}'*/"
            ));
            let who = As {
                uid: NOBODY,
                login_uid: Some(login_uid),
                cgroup: None,
            };
            who.run(client);
            expected.insert(
                [
                    "ann",
                    "nobody",
                    login,
                    address,
                    &format!("person=p{address}"),
                ]
                .map(str::to_owned)
                .to_vec(),
                rows,
            );
        }
    }
    server.wait_until_idle();
    pause(Duration::from_millis(300));
    assert_eq!(rows_by(&sensor.stop(), &KEYS), expected);
}
