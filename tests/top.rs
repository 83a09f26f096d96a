//! Promise: whoever may, reads along with a running sensor, at any time and at no cost to it; what is shown is what the server
//! itself counts.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixStream,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output as Finished},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use harness::{
    Options, Postgres, Sensor, Turn, Volume, is_lowest_rung, raw::Raw, sensor_binary, statements,
    wait_until,
};
use serde_json::Value;

const NOBODY: u32 = 65534;
/// A group that is on every Debian, for those who may read along.
const DAEMON: u32 = 1;

/// A server, a sensor that watches it, and the socket.
struct Bench {
    server: Postgres,
    sensor: Sensor,
    socket: PathBuf,
    _folder: tempfile::TempDir,
    turn: Turn,
}

impl Bench {
    fn start(console: &str) -> Self {
        let turn = Turn::take();
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let server = Postgres::start(&Options::default());
        server.sql(
            "postgres",
            "CREATE TABLE items AS SELECT i AS id, 'item ' || i AS name FROM generate_series(1, 5000) i;
             GRANT SELECT ON items TO PUBLIC; CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN",
        );
        let socket = folder.path().join("run/sensor.sock");
        let configuration = format!(
            "[export]\ninterval = \"1s\"\n[console]\nsocket = \"{}\"\n{console}\n\
             [[threshold]]\nname = \"four-thousand\"\nseverity = \"critical\"\nmeasure = \"rows\"\nwindow = \"10m\"\nlimit = 4000\n",
            socket.display()
        );
        let sensor = Sensor::start(&turn, &configuration, &[]);
        Self {
            server,
            sensor,
            socket,
            _folder: folder,
            turn,
        }
    }

    /// So many statements of so many rows; what the client counted.
    fn read(&self, user: &str, queries: u64, rows: u64) -> Volume {
        let mut client = Raw::start(&self.server.ipv4(), user, "postgres");
        let mut volume = Volume::default();
        for _ in 0..queries {
            let text = format!("SELECT id, name FROM items WHERE id <= {rows}");
            volume += client.query(&text).volume();
        }
        (volume.bytes_sent, volume.bytes_received) = client.terminate();
        volume
    }

    /// What `sensor top --once --json` prints.
    fn once(&self, more: &[&str]) -> Value {
        let finished = top(
            &self.socket,
            (0, 0),
            &[&["--once", "--json"], more].concat(),
        );
        assert!(finished.status.success(), "{}", stderr(&finished));
        let answer: Value = serde_json::from_slice(&finished.stdout).expect("JSON");
        assert_eq!(answer["version"], 1);
        answer["snapshot"].clone()
    }
}

/// `sensor top` as a user of one group.
fn top(socket: &Path, (user, group): (u32, u32), arguments: &[&str]) -> Finished {
    Command::new(readable_sensor())
        .arg("top")
        .arg("--socket")
        .arg(socket)
        .args(arguments)
        .current_dir("/")
        .gid(group)
        .uid(user)
        .output()
        .expect("run sensor top")
}

/// A copy that other users can run: the build directory may be root's alone.
fn readable_sensor() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let copy = std::env::temp_dir().join(format!("dst-top-sensor-{}", std::process::id()));
        fs::copy(sensor_binary(), &copy).expect("copy the sensor");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("chmod");
        copy
    })
}

fn stderr(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

fn row<'a>(snapshot: &'a Value, user: &str) -> Option<&'a Value> {
    let mut rows = snapshot["principals"].as_array()?.iter();
    rows.find(|row| row["user"] == user)
}

fn volume(row: &Value) -> Volume {
    let number = |key: &str| row[key].as_u64().expect("a number");
    Volume {
        queries: number("queries"),
        rows_returned: number("rows_returned"),
        rows_written: number("rows_written"),
        bytes_sent: number("bytes_sent"),
        bytes_received: number("bytes_received"),
    }
}

/// A reader that speaks the protocol by hand.
struct Reader(BufReader<UnixStream>);

impl Reader {
    fn attach(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("attach");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout");
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, request: &str) -> Value {
        self.0
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .expect("ask");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

#[test]
fn readers_see_what_the_server_counts_and_a_stopped_one_holds_up_nothing() {
    const ASK: &str = r#"{"version":1,"sort":"rows","limit":100}"#;
    const CROWD: u32 = 60;
    let bench = Bench::start("");
    // Enough principals for answers that soon fill a socket.
    let roles: Vec<String> = (0..CROWD)
        .map(|user| format!("CREATE ROLE u{user} LOGIN"))
        .collect();
    bench.server.sql("postgres", &roles.join(";"));
    for user in 0..CROWD {
        bench.read(&format!("u{user}"), 1, 1);
    }
    // One that asks and asks, and never reads.
    let stopped = UnixStream::connect(&bench.socket).expect("attach");
    stopped.set_nonblocking(true).expect("nonblocking");
    let long = format!(
        "{{\"version\":1,\"limit\":500,\"filter\":\"\"}}{}\n",
        " ".repeat(4000)
    );
    while (&stopped).write_all(long.as_bytes()).is_ok() {}

    // Two that watch while it happens.
    let all_read = Arc::new(AtomicBool::new(false));
    let watched: Vec<_> = (0..2)
        .map(|_| {
            let mut reader = Reader::attach(&bench.socket);
            let all_read = all_read.clone();
            thread::spawn(move || {
                let mut seen: Vec<u64> = Vec::new();
                loop {
                    let last = all_read.load(Ordering::SeqCst);
                    let answer = reader.ask(ASK);
                    let ann = row(&answer["snapshot"], "ann");
                    seen.push(ann.map_or(0, |row| volume(row).rows_returned));
                    if last {
                        return seen;
                    }
                }
            })
        })
        .collect();
    let mut expected = [Volume::default(); 2];
    for (at, user) in ["ann", "bob"].into_iter().enumerate() {
        for (queries, rows) in [(200, 3), (3, 1000)] {
            expected[at] += bench.read(user, queries, rows + at as u64);
        }
    }
    // Bytes: what the clients counted. Rows and statements: the server's own counts as well.
    bench.server.wait_until_idle();
    wait_until("all of it in the view", || {
        let snapshot = bench.once(&[]);
        row(&snapshot, "bob").map(volume) == Some(expected[1])
    });
    all_read.store(true, Ordering::SeqCst);
    for reader in watched {
        let seen = reader.join().expect("a reader");
        assert!(
            seen.is_sorted(),
            "what was read is never taken back: {seen:?}"
        );
        assert_eq!(seen.last(), Some(&expected[0].rows_returned));
    }
    let snapshot = bench.once(&[]);
    for (user, expected) in ["ann", "bob"].into_iter().zip(expected) {
        let row = row(&snapshot, user).expect("a row");
        assert_eq!(volume(row), expected, "{user}");
        let server = statements(&bench.server, "postgres", user);
        assert_eq!(
            (server.calls, server.rows),
            (expected.queries, expected.rows_returned)
        );
        assert_eq!(row["tables"][0], "items");

        // The same by tables and by statements, and the limit that both have nearly reached.
        let id = row["id"].to_string();
        let detail = bench.once(&["--principal", &id])["detail"].clone();
        let sum = |list: &str, key: &str| -> u64 {
            let rows = detail[list].as_array().expect("a list").iter();
            rows.map(|row| row[key].as_u64().expect("a number")).sum()
        };
        for list in ["tables", "statements"] {
            assert_eq!(sum(list, "rows_returned"), server.rows, "{detail:#}");
            assert_eq!(sum(list, "queries"), server.calls, "{detail:#}");
            assert_eq!(sum(list, "bytes_sent"), expected.bytes_sent, "{detail:#}");
        }
        let statement = &detail["statements"][0];
        assert_eq!(
            statement["text"],
            "SELECT id, name FROM items WHERE id <= ?"
        );
        assert_eq!(detail["levels"][0]["used"], server.rows);
        assert_eq!(detail["levels"][0]["limit"], 4000);
        let recent = row["recent"].as_array().expect("a minute").iter();
        let recent: u64 = recent.filter_map(Value::as_u64).sum();
        assert!(recent <= server.rows, "{row:#}");
    }
    let filtered = bench.once(&["--filter", "AN"]);
    assert!(row(&filtered, "ann").is_some() && row(&filtered, "bob").is_none());

    // The one that does not read was dropped, and that is told.
    let dropped = |cause: &str| {
        let metrics = bench.sensor.metrics();
        let mut of = metrics.iter().filter(|one| {
            one.name == "data_access.sensor.console.dropped"
                && one.attributes["data_access.cause"] == cause
        });
        of.next().map_or(0.0, |one| one.value)
    };
    wait_until("the stopped reader dropped", || dropped("slow") == 1.0);
    assert_eq!(dropped("malformed"), 0.0);
    drop(stopped);
    let output = bench.sensor.stop();
    for (user, expected) in ["ann", "bob"].into_iter().zip(expected) {
        assert_eq!(output.volume("postgres", user), expected, "{user}");
    }
    assert!(!bench.socket.exists(), "the socket goes with the sensor");
}

/// An application's user, whose statements say on whose behalf they are.
#[test]
fn people_who_share_a_user_are_told_apart() {
    let bench = Bench::start("[principals]\ntags = [\"user\"]");
    let mut client = Raw::start(&bench.server.ipv4(), "ann", "postgres");
    let people = [("eve", 30), ("mallory", 50)];
    for (person, rows) in people {
        let answer = client.query(&format!(
            "SELECT id FROM items WHERE id <= {rows} /*user='{person}'*/"
        ));
        assert_eq!(answer.rows, rows);
    }
    client.terminate();
    bench.server.wait_until_idle();
    // The lowest rung's programs have no room for it: all are the application there.
    if is_lowest_rung(&bench.turn) {
        wait_until("all of it in the view", || {
            let snapshot = bench.once(&[]);
            row(&snapshot, "ann").is_some_and(|row| row["rows_returned"] == 80)
        });
        return;
    }
    for (person, rows) in people {
        let tags = format!("user={person}");
        wait_until("all of it in the view", || {
            let snapshot = bench.once(&["--filter", &tags]);
            let found = snapshot["principals"].as_array().expect("a list");
            matches!(&found[..], [row] if row["user"] == "ann"
                && row["more"]["tags"] == *tags
                && row["rows_returned"] == rows)
        });
        let finished = top(&bench.socket, (0, 0), &["--once", "--filter", &tags]);
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        assert!(text.contains(&format!("ann user={person}")), "{text}");
    }
}

#[test]
fn only_root_and_the_group_read_along() {
    let bench = Bench::start("group = \"daemon\"");
    let metadata = fs::metadata(&bench.socket).expect("a socket");
    assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o660, DAEMON));
    for (who, allowed) in [
        ((0, 0), true),
        ((NOBODY, DAEMON), true),
        ((NOBODY, NOBODY), false),
    ] {
        let finished = top(&bench.socket, who, &["--once"]);
        let said = stderr(&finished);
        assert_eq!(finished.status.success(), allowed, "{who:?}: {said}");
        if !allowed {
            assert!(finished.stdout.is_empty());
            assert!(
                said.contains("you may not read along")
                    && said.contains("sudo sensor top")
                    && said.contains("usermod -aG daemon"),
                "{said}"
            );
        }
    }
    // A reader of another time is told which program to take.
    let refused = Reader::attach(&bench.socket).ask(r#"{"version":7}"#);
    let why = refused["error"].as_str().expect("a reason");
    assert!(
        why.contains("version 7") && why.contains("release"),
        "{why}"
    );

    // A file that a killed sensor leaves behind is no sensor.
    let (_, _) = bench.sensor.end(libc::SIGKILL);
    assert!(bench.socket.exists());
    let finished = top(&bench.socket, (0, 0), &["--once"]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        stderr(&finished).contains("no sensor runs here"),
        "{}",
        stderr(&finished)
    );
    // Nor is it in the next one's way.
    let configuration = format!(
        "[console]\nsocket = \"{}\"\ngroup = \"daemon\"\n",
        bench.socket.display()
    );
    let again = Sensor::start(&bench.turn, &configuration, &[]);
    assert!(top(&bench.socket, (0, 0), &["--once"]).status.success());
    again.stop();
}

/// A tmux of its own.
struct Tmux {
    name: String,
}

impl Tmux {
    fn start(command: &str) -> Self {
        let name = format!("dst-top-{}", std::process::id());
        let tmux = Self { name };
        tmux.run(&["new-session", "-d", "-x", "80", "-y", "24", command]);
        tmux
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.name, "-f", "/dev/null"])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .output()
            .expect("run tmux: run `cargo xtask setup --for test`");
        assert!(
            output.status.success(),
            "tmux {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    fn picture(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    fn wait_for(&self, texts: &[&str]) {
        let mut picture = String::new();
        let holds = |picture: &str| texts.iter().all(|text| picture.contains(text));
        let deadline = Instant::now() + harness::patience();
        while !holds(&picture) {
            assert!(
                Instant::now() < deadline,
                "expected {texts:?} in\n{picture}"
            );
            thread::sleep(Duration::from_millis(50));
            picture = self.picture();
        }
        if std::env::var_os("SHOW_SCREENS").is_some() {
            eprintln!("{picture}\n{}", "─".repeat(80));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        Command::new("tmux")
            .args(["-L", &self.name, "kill-server"])
            .output()
            .ok();
    }
}

#[test]
fn on_a_terminal_of_80_by_24_everything_can_be_reached() {
    let bench = Bench::start("");
    bench.read("ann", 100, 7);
    // An alert.
    bench.read("bob", 1, 4500);
    bench.sensor.wait_log("ALERT CRITICAL four-thousand");
    let command = format!(
        "{} top --socket {}; echo ended with $?; sleep 600",
        readable_sensor().display(),
        bench.socket.display()
    );
    let tmux = Tmux::start(&command);
    // Whoever did most in the last seconds is first; the bar of the limit, the alert.
    tmux.wait_for(&[
        "understood",
        "alerts: 1, last",
        &format!("{:<13} 127.0.0.1", "bob"),
        "112%",
        &format!("{:<13} 127.0.0.1", "ann"),
        "17%",
        "principals by rows/s",
        "q quit",
    ]);
    // By user, ann comes first. Open her.
    tmux.keys(&["S"]);
    tmux.wait_for(&["by user"]);
    tmux.keys(&["/"]);
    tmux.keys(&["a", "n", "n"]);
    tmux.wait_for(&["filter: ann", &format!("{:<13} 127.0.0.1", "ann")]);
    tmux.keys(&["Enter"]);
    tmux.wait_for(&["1 of 1 principals by user, with `ann`"]);
    tmux.keys(&["Enter"]);
    tmux.wait_for(&[
        "user ann",
        "four-thousand",
        "700 of 4000 rows in 10m00s",
        "SELECT     items",
    ]);
    tmux.keys(&["Tab"]);
    tmux.wait_for(&["SELECT id, name FROM items WHERE id <= ?"]);
    tmux.keys(&["Escape"]);
    tmux.wait_for(&["with `ann`"]);
    // The alert, and whom it is about.
    tmux.keys(&["a"]);
    tmux.wait_for(&[
        "critical  four-thousand: bob accessed",
        "who    database user bob",
    ]);
    tmux.keys(&["Enter"]);
    tmux.wait_for(&["user bob", "4500 of 4000 rows"]);
    // Other sizes.
    tmux.run(&["resize-window", "-x", "70", "-y", "24"]);
    tmux.wait_for(&["sensor top needs 80×20"]);
    tmux.run(&["resize-window", "-x", "120", "-y", "40"]);
    tmux.wait_for(&["user bob", "4500 of 4000 rows"]);
    // The sensor goes: the last picture stays, with why.
    bench.sensor.stop();
    tmux.wait_for(&["user bob", "no sensor runs here"]);
    tmux.keys(&["q"]);
    tmux.wait_for(&["ended with 0"]);
}

/// A leftover of this test's sibling once spun for an hour on a terminal that was gone.
#[test]
fn it_ends_with_its_terminal() {
    let bench = Bench::start("");
    bench.read("ann", 3, 7);
    let command = format!(
        "exec {} top --socket {}",
        readable_sensor().display(),
        bench.socket.display()
    );
    let tmux = Tmux::start(&command);
    tmux.wait_for(&["principals by rows/s"]);
    let pid = tmux.run(&["display-message", "-p", "#{pane_pid}"]);
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    let runs = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(runs());
    drop(tmux);
    wait_until("the end of sensor top", || !runs());
}
