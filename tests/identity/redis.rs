//! Who is behind connections to Redis: one process serves them all, its unix socket has any name, and users log in when they like.

use std::{collections::BTreeMap, time::Duration};

use harness::{CONFIGURATION, Redis, Sensor, Turn, is_lowest_rung, pause, redis::Kind, resp::Resp};

use crate::scene::{As, attribute};

/// nobody, and the users of Debian's `games` and `man` as logins.
const NOBODY: u32 = 65534;
const LOGINS: [(u32, &str); 2] = [(5, "games"), (6, "man")];

const KEYS: [&str; 4] = [
    "user.name",
    "process.user.name",
    "data_access.login_user.name",
    "client.address",
];

#[test]
fn a_login_shows_through_sudo_on_redis_too() {
    let turn = Turn::take();
    if is_lowest_rung(&turn) {
        // No connection of Redis's is followed there.
        return;
    }
    let server = Redis::start(Kind::Redis, &[]);
    server.user("ann");
    let mut client = Resp::login(&server.unix(), "ann");
    for i in 0..200 {
        client.command(&["RPUSH", "queue:1", &i.to_string()]);
    }
    drop(client);
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let mut expected = BTreeMap::new();
    let mut rows = 100;
    for (login_uid, login) in LOGINS {
        for (address, endpoint) in [("local", server.unix()), ("127.0.0.1", server.ipv4())] {
            rows += 1;
            let mut client = server.client("cli", &endpoint, "ann");
            client.args(["LRANGE", "queue:1", "0", &(rows - 1).to_string()]);
            let who = As {
                uid: NOBODY,
                login_uid: Some(login_uid),
                cgroup: None,
            };
            who.run(client);
            expected.insert(
                ["ann", "nobody", login, address]
                    .map(str::to_owned)
                    .to_vec(),
                rows,
            );
        }
    }
    server.wait_until_idle();
    pause(Duration::from_millis(300));
    let mut got = BTreeMap::new();
    for one in sensor.stop().metrics() {
        if one.name == "data_access.rows"
            && attribute(&one.attributes, "db.collection.name") == "queue:*"
            && attribute(&one.attributes, "db.operation.name") == "LRANGE"
        {
            let who: Vec<String> = KEYS
                .map(|key| attribute(&one.attributes, key).to_owned())
                .to_vec();
            *got.entry(who).or_insert(0) += one.value as u64;
        }
    }
    assert_eq!(got, expected);
}
