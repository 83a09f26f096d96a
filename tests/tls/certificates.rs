//! Clients are told apart by the certificates that they show, whoever they are to the database.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output as Finished},
    thread,
};

use harness::{
    CONFIGURATION, Differences, Options, Output, Sensor, Volume, clients::Client, otlp::Series,
};

use crate::{
    PLAINTEXT, Scene,
    blind::checked,
    blind_bytes,
    life::{Session, of_others},
    nothing_unseen, plaintext,
};

/// Who signs, and certificates by it, in a folder that servers may read.
struct Authority(tempfile::TempDir);

/// Allows any length of a name.
const LONG_NAMES: &str = "openssl_conf = all\n[all]\nstbl_section = names\n[names]\ncommonName = max:1000\n\
    [req]\ndistinguished_name = none\n[none]\n";

impl Authority {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("dst-tls-")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        let authority = Self(folder);
        fs::write(authority.path("names.cnf"), LONG_NAMES).expect("write");
        let new = ["req", "-new", "-x509", "-days", "2", "-nodes", "-newkey"];
        authority.openssl(
            &[
                &new[..],
                &["rsa:2048", "-subj", "/CN=authority"],
                &["-addext", "basicConstraints=critical,CA:true"],
                &["-keyout", "ca.key", "-out", "ca.crt"],
            ]
            .concat(),
        );
        // All clients have the same: who they are is what the certificate says.
        authority.openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            "client.key",
        ]);
        let mode = |name: &str, mode| {
            let path = authority.path(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        };
        mode(".", 0o755);
        mode("ca.crt", 0o644);
        mode("client.key", 0o600);
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .env("OPENSSL_CONF", self.path("names.cnf"))
            .output()
            .expect("run openssl: run `cargo xtask setup`");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// A certificate of this name, in a file.
    fn certificate(&self, file: &str, name: &str) -> Certificate {
        let subject = format!("/O=Bank/CN={name}");
        self.openssl(&[
            "req",
            "-new",
            "-utf8",
            "-subj",
            &subject,
            "-key",
            "client.key",
            "-out",
            "csr",
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            "csr",
            "-out",
            file,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
        ]);
        Certificate {
            certificate: self.path(file),
            key: self.path("client.key"),
        }
    }

    /// One whose name has a NUL in it, which no tool makes: put in afterwards, and signed again.
    fn certificate_with_nul(&self) -> Certificate {
        let made = self.certificate("nul.crt", "annXevil");
        self.openssl(&[
            "x509", "-in", "nul.crt", "-outform", "der", "-out", "nul.der",
        ]);
        let mut whole = fs::read(self.path("nul.der")).expect("read");
        let name = whole.windows(8).position(|bytes| bytes == b"annXevil");
        whole[name.expect("its name") + 3] = 0;
        // The outer sequence's header has two bytes of length; what is signed follows, and has one or two.
        let length = match whole[5] {
            0x81 => 3 + usize::from(whole[6]),
            0x82 => 4 + usize::from(u16::from_be_bytes([whole[6], whole[7]])),
            other => panic!("expected the length of a certificate, got {other:#x}"),
        };
        fs::write(self.path("signed"), &whole[4..4 + length]).expect("write");
        self.openssl(&[
            "dgst",
            "-sha256",
            "-sign",
            "ca.key",
            "-out",
            "signature",
            "signed",
        ]);
        let signature = fs::read(self.path("signature")).expect("read");
        let begin = whole.len() - signature.len();
        whole[begin..].copy_from_slice(&signature);
        fs::write(self.path("nul.der"), whole).expect("write");
        self.openssl(&[
            "x509", "-inform", "der", "-in", "nul.der", "-out", "nul.crt",
        ]);
        self.openssl(&["verify", "-CAfile", "ca.crt", "nul.crt"]);
        made
    }
}

/// What a client shows.
struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificate {
    fn conninfo(&self) -> String {
        format!(
            "sslcert={} sslkey={}",
            self.certificate.display(),
            self.key.display()
        )
    }
}

/// A server that believes the authority.
fn scene(authority: &Authority, authentication: &[&str], roles: &[&str]) -> Option<Scene> {
    let ca = authority.path("ca.crt");
    Scene::new(
        Options {
            configuration: vec![format!("ssl_ca_file = '{}'", ca.display())],
            authentication: authentication.iter().map(ToString::to_string).collect(),
            ..Options::default()
        },
        roles,
    )
}

/// Reads so many of the items.
fn read(scene: &Scene, user: &str, how: &str, rows: u64) -> Finished {
    Command::new("psql")
        .args(["-X", "-At", "-c"])
        .arg(format!("SELECT id FROM items WHERE id <= {rows}"))
        .arg(format!("{} {how}", scene.conninfo(user)))
        .env("PGPASSWORD", "secret")
        .output()
        .expect("run psql")
}

fn of<'a>(series: &'a Series, key: &str) -> &'a str {
    series.attributes.get(key).map_or("", String::as_str)
}

/// Queries and rows by user and subject; without those of the superuser, who asks when the server is idle.
fn by_subject(output: &Output) -> BTreeMap<(String, String), (u64, u64)> {
    let mut all: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for one in &output.metrics() {
        let user = of(one, "user.name");
        if user == "postgres" {
            continue;
        }
        let who = (user.to_owned(), of(one, "tls.client.subject").to_owned());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts below 2^53"
        )]
        let value = one.value as u64;
        match one.name.as_str() {
            "data_access.queries" => all.entry(who).or_default().0 += value,
            "data_access.rows" if of(one, "data_access.direction") == "returned" => {
                all.entry(who).or_default().1 += value;
            }
            _ => {}
        }
    }
    all
}

fn expected(who: &[(&str, &str, u64, u64)]) -> BTreeMap<(String, String), (u64, u64)> {
    who.iter()
        .map(|(user, subject, queries, rows)| {
            (
                ((*user).to_owned(), (*subject).to_owned()),
                (*queries, *rows),
            )
        })
        .collect()
}

/// People with one database user, in both versions of TLS, by password as well, with odd names, with none, and one who was there before.
#[test]
fn people_who_share_a_database_user() {
    let authority = Authority::new();
    let Some(scene) = scene(
        &authority,
        &[
            "hostssl all desk 127.0.0.1/32 trust clientcert=verify-ca",
            "hostssl all scrammed 127.0.0.1/32 scram-sha-256 clientcert=verify-ca",
            "hostssl all named 127.0.0.1/32 cert",
        ],
        &["desk", "scrammed", "named", "open"],
    ) else {
        return;
    };
    scene
        .server
        .sql("postgres", "ALTER ROLE scrammed PASSWORD 'secret'");
    let ann = authority.certificate("ann.crt", "ann").conninfo();
    let bob = authority.certificate("bob.crt", "bob").conninfo();
    let named = authority.certificate("named.crt", "named").conninfo();
    let odd = authority.certificate("odd.crt", "a\x1b[2J,O=Böse");
    let long = authority.certificate("long.crt", &"ä".repeat(200));
    let nul = authority.certificate_with_nul().conninfo();
    let psql = Command::new("psql");
    let mut early = Session::by(psql, &format!("{} {ann}", scene.conninfo("desk")));
    early.rows(5);

    let report = checked(scene.server.port, PLAINTEXT);
    assert_eq!(report["certificates"], "would be part of who a client is");
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    let old = "ssl_max_protocol_version=TLSv1.2";
    let logins = [
        ("desk", ann.clone(), 40),
        ("desk", format!("{bob} {old}"), 300),
        ("desk", format!("{bob} channel_binding=disable"), 7),
        ("scrammed", format!("{ann} channel_binding=require"), 11),
        ("scrammed", format!("{bob} {old}"), 13),
        ("named", named, 17),
        ("desk", odd.conninfo(), 19),
        ("desk", long.conninfo(), 23),
        ("open", "sslcert=none".to_owned(), 29),
        // Nobody asks for it.
        ("open", ann.clone(), 31),
    ];
    for (user, how, rows) in &logins {
        let output = read(&scene, user, how, *rows);
        let read = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(read as u64, *rows, "{user} {how}: {output:?}");
    }
    // The server refuses it, and the client does not fall back to anything.
    let output = read(&scene, "desk", &nul, 1);
    assert!(!output.status.success(), "{output:?}");
    let log = fs::read_to_string(scene.server.log()).expect("the server's log");
    assert!(log.contains("common name contains embedded null"), "{log}");
    early.rows(3);
    early.end();

    let output = scene.finish(sensor);
    let long = format!("CN={}…", "ä".repeat(127));
    let mut differences = Differences::default();
    differences.check(
        "queries and rows by user and subject",
        &expected(&[
            ("desk", "CN=ann", 1, 40),
            ("desk", "CN=bob", 2, 307),
            ("scrammed", "CN=ann", 1, 11),
            ("scrammed", "CN=bob", 1, 13),
            ("named", "CN=named", 1, 17),
            ("desk", "CN=a\\u{1b}[2J\\,O\\=Böse", 1, 19),
            ("desk", &long, 1, 23),
            ("open", "", 1, 29),
            ("open", "CN=ann", 1, 31),
            ("desk", "", 1, 3),
        ]),
        &by_subject(&output),
    );
    let series = output.metrics();
    let subjects = series.iter().map(|one| of(one, "tls.client.subject"));
    for subject in subjects {
        assert!(!subject.contains("evil"), "{subject}");
    }
    differences.none();
}

/// Two people with one user and a connection for each statement: processes come and go, and none is taken for the other's.
#[test]
fn a_connection_for_each_statement() {
    let authority = Authority::new();
    let Some(scene) = scene(
        &authority,
        &["hostssl all desk 127.0.0.1/32 trust clientcert=verify-ca"],
        &["desk"],
    ) else {
        return;
    };
    let people =
        ["ann", "bob"].map(|name| (name, authority.certificate(&format!("{name}.crt"), name)));
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    let counted: Vec<Volume> = thread::scope(|scope| {
        let threads: Vec<_> = people
            .iter()
            .zip(["7", "11"])
            .map(|((_, shown), transactions)| {
                let scene = &scene;
                scope.spawn(move || {
                    let text = |path: &Path| path.display().to_string();
                    let (certificate, key) = (text(&shown.certificate), text(&shown.key));
                    Client::Pgbench
                        .run_with(
                            &scene.server.ipv4(),
                            "desk",
                            &scene.database,
                            &["8", transactions, "reconnect"],
                            &[
                                ("PGSSLMODE", "require"),
                                ("PGSSLCERT", certificate.as_str()),
                                ("PGSSLKEY", key.as_str()),
                            ],
                        )
                        .volume()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("pgbench"))
            .collect()
    });
    let output = scene.finish(sensor);
    let mut differences = Differences::default();
    let by: Vec<(String, u64, u64)> = people
        .iter()
        .zip(&counted)
        .map(|((name, _), volume)| {
            assert!(volume.queries >= 8 * 7, "{volume:?}");
            (format!("CN={name}"), volume.queries, volume.rows_returned)
        })
        .collect();
    let by: Vec<(&str, &str, u64, u64)> = by
        .iter()
        .map(|(subject, queries, rows)| ("desk", subject.as_str(), *queries, *rows))
        .collect();
    differences.check("desk", &expected(&by), &by_subject(&output));
    nothing_unseen(&mut differences, &output.metrics());
    differences.none();
}

/// A server that is another's client shows its own certificate and is shown the other's: neither is its own client's.
#[test]
fn a_server_that_is_a_client_itself() {
    let authority = Authority::new();
    let Some(scene) = scene(
        &authority,
        &["hostssl all desk 127.0.0.1/32 trust clientcert=verify-ca"],
        &["desk", "open"],
    ) else {
        return;
    };
    let shown = authority.certificate("bob.crt", "bob");
    // The key is its client's, who is the server now.
    let key = authority.path("as-client.key");
    fs::copy(&shown.key, &key).expect("copy");
    let data = fs::metadata(scene.server.data()).expect("its folder");
    let (uid, gid) = (
        std::os::unix::fs::MetadataExt::uid(&data),
        std::os::unix::fs::MetadataExt::gid(&data),
    );
    std::os::unix::fs::chown(&key, Some(uid), Some(gid)).expect("chown");
    scene.server.sql(
        &scene.database,
        &format!(
            "CREATE EXTENSION dblink;
             CREATE FUNCTION far() RETURNS SETOF int SECURITY DEFINER LANGUAGE sql AS $body$
               SELECT id FROM dblink($$host=localhost hostaddr=127.0.0.1 port={} user=desk dbname={}
                 sslmode=verify-full sslrootcert='{}' sslcert='{}' sslkey='{}'$$,
                 $$SELECT id FROM items WHERE id <= 50$$) AS far (id int) $body$",
            scene.server.port,
            scene.database,
            scene.server.data().join("server.crt").display(),
            shown.certificate.display(),
            key.display(),
        ),
    );
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    let output = Command::new("psql")
        .args(["-X", "-At", "-c", "SELECT * FROM far()"])
        .args(["-c", "SELECT count(*) FROM items"])
        .arg(format!("{} sslcert=none", scene.conninfo("open")))
        .output()
        .expect("run psql");
    let read = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(read, 51, "{output:?}");
    let output = scene.finish(sensor);
    let mut differences = Differences::default();
    differences.check(
        "queries and rows by user and subject",
        &expected(&[("open", "", 2, 51), ("desk", "CN=bob", 1, 50)]),
        &by_subject(&output),
    );
    nothing_unseen(&mut differences, &output.metrics());
    differences.none();
}

/// Bytes by subject, of connections whose user is not known.
fn bytes_by_subject(output: &Output) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for one in &output.metrics() {
        if one.name == "data_access.bytes" && of(one, "user.name") != "postgres" {
            *all.entry(of(one, "tls.client.subject").to_owned())
                .or_default() += one.value;
        }
    }
    all
}

/// Where plaintext is too dear to be seen, the certificate is all that is known of who it is; where no probes are wanted, nothing is.
#[test]
fn certificates_without_plaintext() {
    let authority = Authority::new();
    let Some(scene) = scene(
        &authority,
        &["hostssl all desk 127.0.0.1/32 trust clientcert=verify-ca"],
        &["desk"],
    ) else {
        return;
    };
    let ann = authority.certificate("ann.crt", "ann").conninfo();
    let bob = authority.certificate("bob.crt", "bob").conninfo();
    let both = || {
        for (how, rows) in [(&ann, 10), (&bob, 2000), (&ann, 20)] {
            let output = read(&scene, "desk", how, rows);
            assert!(output.status.success(), "{output:?}");
        }
        scene.server.wait_until_idle();
        harness::pause(std::time::Duration::from_millis(300));
    };
    let sensor = Sensor::start(&scene.turn, CONFIGURATION, &[]);
    both();
    let output = sensor.stop();
    let bytes = bytes_by_subject(&output);
    assert!(bytes["CN=bob"] > bytes["CN=ann"], "{bytes:?}");
    // What passes before the server knows the certificate is nobody's: three handshakes.
    let nobodys = bytes.get("").copied().unwrap_or_default();
    assert!(nobodys < 3.0 * 5000.0, "{bytes:?}");
    assert!(bytes.len() <= 3, "{bytes:?}");
    if checked(scene.server.port, "")["tls_seen"] == true {
        let rows = [("desk", "CN=ann", 2, 30), ("desk", "CN=bob", 1, 2000)];
        assert_eq!(by_subject(&output), expected(&rows));
    } else {
        assert_eq!(of_others(&output.metrics()), (0.0, 0.0));
        assert!(blind_bytes(&output.metrics(), "encrypted") > 0.0);
    }

    const NO_PROBES: &str = "[kernel]\ntls = \"bytes\"\n";
    let report = checked(scene.server.port, NO_PROBES);
    let told = report["certificates"].to_string();
    assert!(told.contains("not seen: kernel.tls"), "{report:#}");
    let sensor = Sensor::start(&scene.turn, &format!("{NO_PROBES}{CONFIGURATION}"), &[]);
    both();
    let bytes = bytes_by_subject(&sensor.stop());
    let subjects: Vec<&str> = bytes.keys().map(String::as_str).collect();
    assert_eq!(subjects, [""], "{bytes:?}");
}
