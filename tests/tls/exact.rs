//! Rows, bytes, statements and users of TLS connections, against what the clients, the server and the plaintext itself say.

use std::{process::Command, thread};

use harness::{
    Differences, Options, Sensor, Volume,
    clients::{Client, Counted},
    statements,
    tls::{Tunnel, Version},
};

use crate::{Scene, nothing_unseen, plaintext};

/// A client, by which version, and as whom; `None`: by its own TLS.
const PLAN: [(Client, Option<Version>, &str); 8] = [
    (Client::Psql, Some(Version::Tls13), "psql_13"),
    (Client::Pgbench, Some(Version::Tls13), "pgbench_13"),
    (Client::Psycopg, Some(Version::Tls13), "psycopg_13"),
    (Client::Node, Some(Version::Tls13), "node_13"),
    (Client::Jdbc, Some(Version::Tls13), "jdbc_13"),
    (Client::TokioPostgres, Some(Version::Tls13), "tokio_13"),
    (Client::Psycopg, Some(Version::Tls12), "psycopg_12"),
    (Client::Psql, None, "psql_own"),
];

struct Run {
    role: &'static str,
    counted: Counted,
    /// Plaintext to the client and to the server, where it can be known.
    bytes: Option<(u64, u64)>,
}

/// Pipelines, portals, COPY, cursors, big results: the same workloads as in clear.
#[test]
fn every_client_by_tls() {
    let Some(scene) = Scene::new(Options::default(), &PLAN.map(|(_, _, role)| role)) else {
        return;
    };
    scene
        .server
        .sql("postgres", "SELECT pg_stat_statements_reset()");
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    let mut runs = Vec::new();
    for batch in PLAN.chunks(3) {
        let batch: Vec<Run> = thread::scope(|scope| {
            let threads: Vec<_> = batch
                .iter()
                .map(|planned| scope.spawn(|| run(&scene, *planned)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a client"))
                .collect()
        });
        runs.extend(batch);
    }
    let output = scene.finish(sensor);
    let series = output.metrics();
    let mut differences = Differences::default();
    for run in &runs {
        let role = run.role;
        let got = output.volume(&scene.database, role);
        eprintln!("{role}: {got:?}");
        let (bytes_sent, bytes_received) =
            run.bytes.unwrap_or((got.bytes_sent, got.bytes_received));
        let expected = Volume {
            bytes_sent,
            bytes_received,
            ..run.counted.volume()
        };
        differences.check(&format!("{role}, client | sensor"), &expected, &got);
        let by_server = statements(&scene.server, &scene.database, role);
        differences.check(
            &format!("{role}, (calls, rows): client | server"),
            &run.counted.as_server(scene.server.version()),
            &(by_server.calls, by_server.rows),
        );
        let by_statement: Volume = Volume::by_statement(&series, &scene.database, role)
            .into_values()
            .sum();
        differences.check(
            &format!("{role}, sum over statements"),
            &expected,
            &by_statement,
        );
    }
    nothing_unseen(&mut differences, &series);
    differences.none();
}

fn run(scene: &Scene, (client, version, role): (Client, Option<Version>, &'static str)) -> Run {
    let Some(version) = version else {
        return Run {
            role,
            counted: client.run_by_tls(&scene.server.ipv4(), role, &scene.database),
            bytes: None,
        };
    };
    let tunnel = Tunnel::start(scene.server.port, version);
    let counted = client.run(tunnel.endpoint(), role, &scene.database);
    Run {
        role,
        counted,
        bytes: Some(tunnel.finish()),
    }
}

/// Makes an authority and a client's certificate by it, all in one folder.
fn certificates(user: &str) -> tempfile::TempDir {
    let folder = tempfile::Builder::new()
        .prefix("dst-tls-")
        .tempdir_in("/tmp")
        .expect("temporary directory");
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder.path())
            .output()
            .expect("run openssl: run `cargo xtask setup`");
        assert!(output.status.success(), "{output:?}");
    };
    openssl("req -new -x509 -days 2 -nodes -subj /CN=authority -keyout ca.key -out ca.crt");
    openssl(&format!(
        "req -new -nodes -subj /CN={user} -keyout client.key -out client.csr"
    ));
    openssl(
        "x509 -req -days 2 -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out client.crt",
    );
    // The server reads the authority's as its own user.
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode;
    std::fs::set_permissions(folder.path(), mode(0o755)).expect("chmod");
    std::fs::set_permissions(folder.path().join("ca.crt"), mode(0o644)).expect("chmod");
    folder
}

/// Who logs in by a password, bound to the channel, and who by a certificate, is known as in clear.
#[test]
fn logins_by_scram_and_by_certificate() {
    let folder = certificates("certified");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let Some(scene) = Scene::new(
        Options {
            configuration: vec![format!("ssl_ca_file = '{}'", path("ca.crt"))],
            authentication: vec![
                "hostssl all certified 127.0.0.1/32 cert".to_owned(),
                "hostssl all scrammed 127.0.0.1/32 scram-sha-256".to_owned(),
                "hostssl all scrammed_12 127.0.0.1/32 scram-sha-256".to_owned(),
            ],
            ..Options::default()
        },
        &["certified", "scrammed", "scrammed_12"],
    ) else {
        return;
    };
    for role in ["scrammed", "scrammed_12"] {
        scene
            .server
            .sql("postgres", &format!("ALTER ROLE {role} PASSWORD 'secret'"));
    }
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    let certificate = format!(
        "sslcert={} sslkey={}",
        path("client.crt"),
        path("client.key")
    );
    let logins = [
        ("certified", certificate.as_str()),
        ("scrammed", "channel_binding=require"),
        (
            "scrammed_12",
            "channel_binding=require ssl_max_protocol_version=TLSv1.2",
        ),
    ];
    for (role, how) in logins {
        let output = Command::new("psql")
            .args(["-X", "-At", "-c", "SELECT id FROM items WHERE id <= 40"])
            .args([
                "-c",
                "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            ])
            .arg(format!("{} {how}", scene.conninfo(role)))
            .env("PGPASSWORD", "secret")
            .output()
            .expect("run psql");
        let text = String::from_utf8_lossy(&output.stdout);
        let version = if role.ends_with("12") {
            "TLSv1.2"
        } else {
            "TLSv1.3"
        };
        assert!(text.trim_end().ends_with(version), "{role}: {output:?}");
    }
    let output = scene.finish(sensor);
    let mut differences = Differences::default();
    for (role, _) in logins {
        let got = output.volume(&scene.database, role);
        let expected = Volume {
            queries: 2,
            rows_returned: 41,
            ..got.bytes_only()
        };
        differences.check(role, &expected, &got);
        let by_statement = Volume::by_statement(&output.metrics(), &scene.database, role);
        let items = by_statement
            .get("SELECT items")
            .copied()
            .unwrap_or_default();
        differences.check(role, &(1, 40), &(items.queries, items.rows_returned));
    }
    nothing_unseen(&mut differences, &output.metrics());
    differences.none();
}
