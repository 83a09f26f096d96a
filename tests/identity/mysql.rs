//! Who is behind connections to MariaDB and MySQL: one process serves them all, its unix socket has any name, and it speaks first.

use std::{collections::BTreeMap, time::Duration};

use harness::{
    CONFIGURATION, Sensor, Turn, is_lowest_rung,
    mysql::{Kind, Program, Server},
    pause,
};

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
fn a_login_shows_through_sudo_and_who_asks_in_comments() {
    let turn = Turn::take();
    if is_lowest_rung(&turn) {
        // No connection of theirs is followed there.
        return;
    }
    for kind in [Kind::MariaDb, Kind::MySql] {
        logins_show(&turn, kind);
    }
}

fn logins_show(turn: &Turn, kind: Kind) {
    let server = Server::start(kind, &[]);
    server.sql(
        "CREATE DATABASE desk; USE desk; CREATE TABLE items AS \
         WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 500) SELECT id FROM n",
    );
    server.user("ann");
    let sensor = Sensor::start(
        turn,
        &format!("{CONFIGURATION}\n[principals]\ntags = [\"person\"]"),
        &[],
    );
    let mut expected = BTreeMap::new();
    let mut rows = 100;
    for (login_uid, login) in LOGINS {
        for (address, endpoint) in [("local", server.unix()), ("127.0.0.1", server.ipv4())] {
            rows += 1;
            let mut client = server.client(Program::Shell, &endpoint, "ann");
            client.args(["--batch", "--comments", "--database=desk"]);
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
    assert_eq!(rows_by(&sensor.stop(), &KEYS), expected, "{kind:?}");
}
