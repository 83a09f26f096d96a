//! Promise: who spreads a theft over many hosts is seen in the sum, where no host alone has anything to tell.

use std::{fs, ops::RangeInclusive, os::unix::fs::OpenOptionsExt as _, path::Path};

use harness::{
    Options, Output, Postgres, Sensor, Turn,
    clients::Endpoint,
    network::{Host, Network},
    raw::Raw,
    receivers::{Prometheus, clickhouse},
    wait_until, workspace,
};
use serde_json::Value;
use tempfile::TempDir;

const SCHEMA: &str = "
    CREATE ROLE mallory LOGIN; CREATE ROLE ann LOGIN;
    CREATE TABLE customers (id int PRIMARY KEY, name text);
    INSERT INTO customers SELECT i, 'name ' || i FROM generate_series(1, 7000) i;
    GRANT SELECT ON customers TO PUBLIC; ANALYZE;
";
/// Rows that mallory takes from each host: less than the 10,000 of the sensors' own limit.
const EACH: u32 = 4000;
/// What he takes from the next host is partly what he has: 7,000 different records of three hosts.
const STEP: u32 = 1500;
const ALL: u32 = 7000;

/// A database host and its sensor.
struct Site {
    endpoint: Endpoint,
    sensor: Sensor,
    _server: Postgres,
    _state: TempDir,
}

impl Site {
    fn open(turn: &Turn, host: &Host, name: &str) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        // All hosts have the same secret, so that a record has the same hash on each.
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(state.path().join("history.key"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"sixteen letters!"))
            .expect("write the secret");
        host.run(|| {
            let server = Postgres::start(&Options {
                configuration: vec!["listen_addresses = '*'".to_owned()],
                authentication: vec!["host all all 10.231.0.0/24 trust".to_owned()],
                ..Options::default()
            });
            server.sql("postgres", SCHEMA);
            let configuration = format!(
                "[kernel]\nnetwork_namespace = \"own\"\n[detection.keys]\ncustomers = [\"id\"]\n[export]\ninterval = \"1s\"\n\
                 [export.records]\ninterval = \"2s\"\n[export.prometheus]\nlisten = \"{}:9464\"\nallow_remote = true\n\
                 [history]\npath = \"{}\"\n",
                host.address,
                state.path().join("history.db").display()
            );
            let who = format!("OTEL_RESOURCE_ATTRIBUTES=host.name={name}");
            Self {
                endpoint: Endpoint {
                    host: host.address.clone(),
                    port: server.port,
                },
                sensor: Sensor::start_wrapped(turn, &["env", &who], &configuration, &[]),
                _server: server,
                _state: state,
            }
        })
    }

    /// The sum of a metric of somebody.
    fn of(&self, metric: &str, user: &str) -> f64 {
        self.sensor
            .metrics()
            .iter()
            .filter(|series| series.name == metric)
            .filter(|series| {
                series
                    .attributes
                    .get("user.name")
                    .is_some_and(|name| name == user)
            })
            .filter(|series| {
                let direction = series.attributes.get("data_access.direction");
                direction.is_none_or(|direction| direction == "returned")
            })
            .map(|series| series.value)
            .sum()
    }

    /// Reads customers by their numbers, many at a time.
    fn read(&self, user: &str, ids: RangeInclusive<u32>) {
        let mut client = Raw::start(&self.endpoint, user, "postgres");
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        for ids in ids.chunks(200) {
            let sql = format!(
                "SELECT name FROM customers WHERE id IN ({})",
                ids.join(", ")
            );
            assert_eq!(client.query(&sql).rows, ids.len() as u64);
        }
        client.terminate();
    }
}

#[test]
fn a_theft_spread_over_hosts_is_seen_in_the_sum() {
    let turn = Turn::take();
    let network = Network::of(3);
    let names = ["db1", "db2", "db3"];
    let sites: Vec<Site> = network
        .hosts
        .iter()
        .zip(names)
        .map(|(host, name)| Site::open(&turn, host, name))
        .collect();
    let directory = tempfile::tempdir().expect("a directory");
    let targets: Vec<String> = network
        .hosts
        .iter()
        .map(|host| format!("{}:9464", host.address))
        .collect();
    let desk = &network.desk;
    desk.run(|| {
        let sites = &sites;
        let prometheus = Prometheus::start(directory.path(), &targets);
        // The first sight of a statement counts by its rows: until its keys are known.
        for site in sites {
            wait_until("the statement's keys", || {
                site.read("mallory", 1..=1);
                site.of("data_access.records", "mallory") > 0.0
            });
        }
        for (site, first) in sites.iter().zip((1..).step_by(STEP as usize)) {
            site.read("mallory", first..=first + EACH - 1);
        }
        // Who reads all of that on one host is known to its sensor.
        sites[0].read("ann", 1..=ALL);

        let caught = r#"ALERTS{alertname="FleetBulkRead", alertstate="firing"}"#;
        wait_until("the fleet's alert", || !prometheus.query(caught).is_empty());
        let caught = prometheus.query(caught);
        assert_eq!(caught.len(), 1, "{caught:?}");
        assert_eq!(caught[0].0["user_name"], "mallory");
        let rows = || {
            prometheus
                .value(r#"sum(fleet:data_access_rows:increase10m{user_name="mallory", data_access_direction="returned"})"#)
                .unwrap_or(0.0)
        };
        wait_until("all he took", || rows() >= f64::from(3 * EACH));
        let rows = rows();
        let counted: f64 = sites.iter().map(|site| site.of("data_access.rows", "mallory")).sum();
        assert!(rows >= f64::from(3 * EACH) && rows <= counted, "{rows} of {counted}");
        let alone = prometheus.query(r#"ALERTS{alertname="DataAccessAlert"}"#);
        assert!(alone.is_empty(), "no host's own limit: {alone:?}");
    });
    // Each sensor has seen its own host only, and nothing to tell of.
    for site in &sites {
        assert_eq!(site.sensor.alerts(), [], "no host's own limit");
        let rows = site.of("data_access.rows", "mallory");
        assert!(
            rows >= f64::from(EACH) && rows < f64::from(EACH) + 1000.0,
            "{rows}"
        );
    }

    // And in SQL.
    let outputs: Vec<_> = sites.into_iter().map(|site| site.sensor.stop()).collect();
    let files: Vec<&Path> = outputs.iter().map(Output::otlp_file).collect();
    let query = |name: &str| workspace().join("deploy/clickhouse").join(name);
    let answers = clickhouse(
        &files,
        &[
            query("distinct_records.sql"),
            query("fleet.sql"),
            query("who_read.sql"),
        ],
    );
    let [records, fleet, readers] = &answers[..] else {
        panic!("{answers:?}");
    };
    let of = |rows: &[Value], user: &str| -> Value {
        let mut found = rows.iter().filter(|row| row["user"] == user);
        let row = found.next().cloned().unwrap_or_default();
        assert!(found.next().is_none(), "{user} once in {rows:?}");
        row
    };
    // What three sensors saw of mallory is what one saw of ann, who read the same: not about, but to the last hash.
    let (mallory, ann) = (of(records, "mallory"), of(records, "ann"));
    assert_eq!(mallory["records"], ann["records"], "{records:?}");
    assert_eq!(mallory["secret"], ann["secret"]);
    assert_eq!(mallory["hosts"], Value::from(names.to_vec()));
    let estimate = mallory["records"].as_f64().expect("a number");
    assert!((estimate / f64::from(ALL) - 1.0).abs() < 0.2, "{estimate}");

    assert_eq!(fleet.len(), 1, "{fleet:?}");
    let mallory = of(fleet, "mallory");
    assert!(
        mallory["rows_read"]
            .as_f64()
            .is_some_and(|rows| rows >= f64::from(3 * EACH))
    );
    let reader = of(readers, "mallory");
    assert_eq!(reader["client"], Value::from(desk.address.as_str()));
    assert_eq!(reader["hosts"], Value::from(names.to_vec()));
}
