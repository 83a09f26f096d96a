//! Clients that lie or hide: none makes another's name appear.

use std::{collections::BTreeMap, os::unix::process::CommandExt, process::Command};

use harness::{
    is_lowest_rung,
    raw::{self, Raw},
};

use crate::scene::{As, Scene, attribute, psql, rows_by, who_reads};

/// Passes one connection from hand to hand: to a child that inherits it, then over a unix socket to a stranger.
const HANDS: &str = r#"
import os, socket, struct, sys, time
port, texts = int(sys.argv[1]), sys.argv[2:]
def ready(s):
    seen = b""
    while not seen.endswith(b"Z\0\0\0\5I"):
        seen += s.recv(65536)
def ask(s, text):
    body = text.encode() + b"\0"
    s.sendall(b"Q" + struct.pack("!I", len(body) + 4) + body)
    ready(s)
    time.sleep(0.1)
def become(uid, work):
    child = os.fork()
    if child == 0:
        os.setgid(uid); os.setuid(uid)
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
s = socket.create_connection(("127.0.0.1", port)) if port else socket.socket(socket.AF_UNIX)
if not port: s.connect(os.environ["DESK"])
body = struct.pack("!I", 196608) + b"user\0ann\0database\0desk\0\0"
s.sendall(struct.pack("!I", len(body) + 4) + body)
ready(s)
ask(s, texts[0])
become(65534, lambda: ask(s, texts[1]))
here, there = socket.socketpair()
socket.send_fds(here, [b"x"], [s.fileno()])
def stranger():
    fd = socket.recv_fds(there, 1, 1)[1][0]
    ask(socket.socket(fileno=fd), texts[2])
become(6, stranger)
"#;

#[test]
fn a_connection_that_goes_from_hand_to_hand() {
    let scene = Scene::new("");
    let may_be_overtaken = is_lowest_rung(&scene.turn)
        && std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
    let unix = scene.server.unix();
    let port = scene.server.port;
    for (tcp, texts) in [(0, [10, 200, 1000]), (port, [20, 300, 1500])] {
        let status = Command::new("python3")
            .args(["-c", HANDS, &tcp.to_string()])
            .args(texts.map(who_reads))
            .env("DESK", format!("{}/.s.PGSQL.{port}", unix.host))
            .status()
            .expect("run python3");
        assert!(status.success(), "{status}");
    }
    let expected: BTreeMap<_, _> = [("root", 30), ("nobody", 500), ("man", 2500)]
        .into_iter()
        .map(|(who, rows)| (vec![who.to_owned()], rows))
        .collect();
    let found = rows_by(&scene.finish(), &["process.user.name"]);
    // See "Clients on this host" in docs/identity.md.
    if may_be_overtaken {
        assert_eq!(found.values().sum::<u64>(), 3030, "{found:?}");
        assert!(
            found.keys().all(|who| expected.contains_key(who)),
            "{found:?}"
        );
    } else {
        assert_eq!(found, expected);
    }
}

#[test]
fn clients_that_are_gone_before_anybody_looks() {
    let scene = Scene::new("");
    let unix = scene.server.unix();
    // Each is gone within milliseconds; what the kernel has said of it is enough.
    for n in 0..30 {
        let client = As {
            uid: if n % 2 == 0 { 65534 } else { 6 },
            login_uid: Some(5),
            cgroup: None,
        };
        let host = if n % 3 == 0 { "127.0.0.1" } else { &unix.host };
        client.run(psql(host, scene.server.port, "ann", 10));
    }
    let keys = ["process.user.name", "data_access.login_user.name"];
    let expected = [("man", 150), ("nobody", 150)]
        .into_iter()
        .map(|(who, rows)| (vec![who.to_owned(), "games".to_owned()], rows))
        .collect();
    assert_eq!(rows_by(&scene.finish(), &keys), expected);
}

#[test]
fn names_that_deceive() {
    let scene = Scene::new(
        "[[threshold]]\nname = \"any\"\nmeasure = \"rows\"\nwindow = \"1m\"\nlimit = 100",
    );
    scene.server.sql(
        "desk",
        "CREATE ROLE \"(unknown)\" LOGIN; CREATE ROLE \"unknown (since before start)\" LOGIN;
         CREATE ROLE \"ann [local]\" LOGIN",
    );
    let long = "n".repeat(1 << 20);
    let mut rows = 0;
    for user in [
        "(unknown)",
        "unknown (since before start)",
        "ann [local]",
        "ann",
    ] {
        rows += 1;
        let mut client = Raw::connect(&scene.server.unix());
        client.send(&raw::startup(&[
            ("user", "bob"),
            ("user", user),
            ("database", "desk"),
            ("application_name", "\u{1b}[2J\u{202e}nimda\nuser: bob"),
        ]));
        let answer = client.answer();
        assert!(answer.errors.is_empty(), "{user}: {answer:?}");
        client.query(&who_reads(rows));
        // Comments of a mebibyte, and one that claims to be somebody.
        client.query(&format!("/* {long} */ SELECT 1"));
        client.query("SET application_name = 'bob'");
        client.query(&format!("{} /* user='bob' */", who_reads(100 * rows)));
        client.query(&format!("SET application_name = '{long}'"));
        client.terminate();
    }
    let output = scene.finish();
    let expected = [
        ("\"(unknown)\"", 101),
        ("\"unknown (since before start)\"", 202),
        ("ann [local]", 303),
        ("ann", 404),
    ]
    .into_iter()
    .map(|(who, rows)| (vec![who.to_owned(), String::new()], rows))
    .collect();
    assert_eq!(rows_by(&output, &["user.name", "user.roles"]), expected);
    for alert in output.alerts() {
        let name = attribute(&alert.attributes, "data_access.application_name");
        assert_eq!(name, "bob");
        assert!(!alert.body.contains('\u{1b}'), "{alert:?}");
    }
    assert!(!output.log.contains('\u{1b}') && !output.log.contains('\u{202e}'));
}

/// A process that names itself as another program is that for who reads the name, and still who it is.
#[test]
fn a_program_that_names_itself() {
    let scene = Scene::new("[principals]\nidentity = [\"user\", \"os_user\", \"program\"]");
    let inner = psql(&scene.server.unix().host, scene.server.port, "ann", 50);
    let mut command = Command::new("/usr/bin/bash");
    let line: Vec<String> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    command.args(["-c", &line.join(" ")]).arg0("backup");
    As {
        uid: 65534,
        login_uid: None,
        cgroup: None,
    }
    .run(command);
    let expected = [(["ann", "nobody", "psql"].map(str::to_owned).to_vec(), 50)].into();
    let keys = ["user.name", "process.user.name", "process.executable.name"];
    assert_eq!(rows_by(&scene.finish(), &keys), expected);
}
