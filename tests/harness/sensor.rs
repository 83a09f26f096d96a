//! The sensor under test.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Turn, Volume, configuration,
    environment::{patience, sensor_binary},
    otlp::{self, Alert, Metrics, Series, Span},
};

/// Exports often, keeps every series apart, alerts on nothing.
pub const CONFIGURATION: &str = r#"
[export]
interval = "1s"
max_series = 50000
statement_series = 10000
[[threshold]]
name = "never"
measure = "rows"
window = "1m"
limit = 1000000000000
"#;

/// A running sensor; killed when dropped.
#[derive(Debug)]
pub struct Sensor {
    child: Child,
    directory: TempDir,
    log: Arc<Mutex<String>>,
    metrics: Mutex<Metrics>,
    /// Reads its standard error to the end.
    reader: JoinHandle<()>,
}

/// What a sensor left behind.
#[derive(Debug)]
pub struct Output {
    /// How it exited.
    pub status: ExitStatus,
    /// What it wrote to standard error.
    pub log: String,
    metrics: Mutex<Metrics>,
    file: PathBuf,
    _directory: TempDir,
}

impl Sensor {
    /// Starts `sensor run` with this configuration and further arguments, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start(turn: &Turn, configuration: &str, arguments: &[&str]) -> Self {
        let mut sensor = Self::spawn(turn, configuration, arguments);
        sensor.wait_ready();
        sensor
    }

    /// Starts it behind a command that ends in it (`sh -c '… exec "$@"'`), in the folder of its files, and waits.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start_wrapped(
        turn: &Turn,
        wrapper: &[&str],
        configuration: &str,
        arguments: &[&str],
    ) -> Self {
        let mut sensor = Self::spawn_wrapped(turn, wrapper, configuration, arguments);
        sensor.wait_ready();
        sensor
    }

    /// Starts it without waiting.
    ///
    /// # Panics
    /// When the binary is missing.
    pub fn spawn(turn: &Turn, configuration: &str, arguments: &[&str]) -> Self {
        Self::spawn_wrapped(turn, &[], configuration, arguments)
    }

    fn spawn_wrapped(
        _turn: &Turn,
        wrapper: &[&str],
        configuration: &str,
        arguments: &[&str],
    ) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("dst-sensor-")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        let path = directory.path().join("sensor.toml");
        // Unless a test says where: with the rest, so that no test knows what another did.
        let mut configuration = configuration.to_owned();
        if !configuration.contains("[history]") {
            let history = directory.path().join("history.db");
            configuration += &format!("\n[history]\npath = \"{}\"\n", history.display());
        }
        if !configuration.contains("[export.queue]") {
            let queue = directory.path().join("queue.db");
            configuration += &format!("\n[export.queue]\npath = \"{}\"\n", queue.display());
        }
        fs::write(&path, configuration::completed(&configuration))
            .expect("write the configuration");
        let mut command = match wrapper {
            [] => Command::new(sensor_binary()),
            [program, more @ ..] => {
                let mut command = Command::new(program);
                command.args(more).arg(sensor_binary());
                command
            }
        };
        let mut child = command
            .arg("run")
            .arg("--config")
            .arg(&path)
            .arg("--otlp-file")
            .arg(directory.path().join("otlp.jsonl"))
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(File::create(directory.path().join("stdout")).expect("create stdout"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the sensor");
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let sink = log.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = sink.lock().expect("log");
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self {
            child,
            directory,
            log,
            metrics: Mutex::default(),
            reader,
        }
    }

    /// Waits for `sensor ready`.
    ///
    /// # Panics
    /// When it exits or takes too long.
    pub fn wait_ready(&mut self) {
        let deadline = Instant::now() + patience();
        while !self
            .log()
            .lines()
            .any(|line| line.trim_end().ends_with("sensor ready"))
        {
            if let Some(status) = self.child.try_wait().expect("wait for the sensor") {
                panic!("expected `sensor ready`, got {status}:\n{}", self.log());
            }
            assert!(
                Instant::now() < deadline,
                "expected `sensor ready` within {:?}, got:\n{}",
                patience(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Standard error so far.
    ///
    /// # Panics
    /// Never, unless the reading thread did.
    pub fn log(&self) -> String {
        self.log.lock().expect("log").clone()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends by itself: status and standard error.
    ///
    /// # Panics
    /// When it runs on.
    pub fn wait_exit(mut self) -> (ExitStatus, String) {
        let status = self.exit_status("by itself");
        (status, self.log())
    }

    /// Sends a signal and waits until it ends: status and standard error.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(mut self, signal: libc::c_int) -> (ExitStatus, String) {
        self.signal(signal);
        let status = self.exit_status("after a signal");
        (status, self.log())
    }

    /// Writes another configuration over the one that it was started with.
    ///
    /// # Panics
    /// When the file can't be written.
    pub fn reconfigure(&self, configuration: &str) {
        fs::write(
            self.directory.path().join("sensor.toml"),
            configuration::completed(configuration),
        )
        .expect("write the configuration");
    }

    /// Waits until standard error holds a text.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_log(&self, text: &str) {
        wait_until(&format!("`{text}` in the sensor's log"), || {
            self.log().contains(text)
        });
    }

    /// Where it writes OTLP JSON lines.
    pub fn otlp_file(&self) -> PathBuf {
        self.directory.path().join("otlp.jsonl")
    }

    /// Last exported value of every series so far.
    pub fn metrics(&self) -> Vec<Series> {
        let mut metrics = self.metrics.lock().expect("no sum fell");
        metrics.of(&self.otlp_file())
    }

    /// Alerts so far.
    pub fn alerts(&self) -> Vec<Alert> {
        otlp::alerts(&self.otlp_file())
    }

    /// Ends it with `SIGINT` and waits for its last export.
    ///
    /// # Panics
    /// When it does not end, or not with status 0.
    pub fn stop(mut self) -> Output {
        self.signal(libc::SIGINT);
        let status = self.exit_status("after SIGINT");
        let log = self.log();
        assert!(
            status.success(),
            "expected exit status 0 after SIGINT, got {status}:\n{log}"
        );
        let directory = std::mem::replace(
            &mut self.directory,
            tempfile::tempdir().expect("temporary directory"),
        );
        Output {
            status,
            log,
            metrics: std::mem::take(&mut self.metrics),
            file: directory.path().join("otlp.jsonl"),
            _directory: directory,
        }
    }
}

impl Sensor {
    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a pid");
        // SAFETY: our own child, not yet waited for.
        unsafe { libc::kill(pid, signal) };
    }

    fn exit_status(&mut self, when: &str) -> ExitStatus {
        let deadline = Instant::now() + patience();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait for the sensor") {
                // Ends with it, unless somebody else holds its standard error.
                while !self.reader.is_finished() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(5));
                }
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "expected the sensor to end {when} within {:?}, it runs on:\n{}",
                patience(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The rungs of the ladder of hooks that this kernel allows, the best first, as `sensor check` says.
///
/// # Panics
/// When it says nothing of them.
pub fn allowed_rungs(_turn: &Turn) -> Vec<String> {
    // It has the verifier read all programs, which takes a while; the kernel stays the same.
    static ALLOWED: OnceLock<Vec<String>> = OnceLock::new();
    ALLOWED.get_or_init(ask_for_rungs).clone()
}

fn ask_for_rungs() -> Vec<String> {
    let checked = Command::new(sensor_binary())
        .args(["check", "--json"])
        .current_dir("/")
        .output()
        .expect("start the sensor");
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let rows = report["capabilities"].as_array().expect("capabilities");
    rows.iter()
        .filter(|row| row["present"] == true)
        .filter_map(|row| row["name"].as_str()?.strip_prefix("hooks "))
        .map(str::to_owned)
        .collect()
}

/// Are the hooks that the sensor will use the lowest rung, whose programs have room for PostgreSQL's protocol alone?
pub fn is_lowest_rung(turn: &Turn) -> bool {
    std::env::var("SENSOR_TEST_HOOKS")
        .ok()
        .or_else(|| allowed_rungs(turn).into_iter().next())
        .as_deref()
        == Some("sys_exit")
}

/// Waits until a condition holds.
///
/// # Panics
/// When it does not within a minute.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "expected {what} within {:?}",
            patience()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // Failing to kill what ends anyway is no error.
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- the sensor's log ---\n{}", self.log());
        }
    }
}

impl Output {
    /// Its OTLP JSON lines.
    pub fn otlp_file(&self) -> &Path {
        &self.file
    }

    /// Last exported value of every series.
    pub fn metrics(&self) -> Vec<Series> {
        self.metrics.lock().expect("no sum fell").of(&self.file)
    }

    /// Operations that the kernel kept from all programs, at most, as the sensor says: none before Linux 7.0, and there nearly none
    /// but on a processor for which many tasks wait.
    pub fn passed_over(&self) -> u64 {
        self.sum("data_access.sensor.bpf.misses") as u64
    }

    /// The same where it has said at its start that operations go unseen on these hooks; elsewhere none.
    pub fn passed_over_as_said(&self) -> u64 {
        if self.log.contains("data_access.sensor.bpf.misses") {
            self.passed_over()
        } else {
            0
        }
    }

    /// Sum of a metric over all its series.
    pub fn sum(&self, metric: &str) -> f64 {
        self.metrics()
            .iter()
            .filter(|series| series.name == metric)
            .map(|series| series.value)
            .sum()
    }

    /// Holds that a secret is in nothing that it wrote: no file beside its telemetry, and not its log.
    ///
    /// # Panics
    /// When it is in there: shows where.
    pub fn never_says(&self, secret: &str) {
        let found = |content: &[u8], place: &str| {
            let at = content
                .windows(secret.len())
                .position(|bytes| bytes == secret.as_bytes());
            if let Some(at) = at {
                let around = &content[at.saturating_sub(200)..(at + 200).min(content.len())];
                panic!("{secret} in {place}: {}", String::from_utf8_lossy(around));
            }
        };
        found(self.log.as_bytes(), "the log");
        let folder = self.otlp_file().parent().expect("a folder");
        for entry in fs::read_dir(folder).expect("list").flatten() {
            let content = fs::read(entry.path()).unwrap_or_default();
            found(&content, &entry.path().display().to_string());
        }
    }

    /// Alerts.
    pub fn alerts(&self) -> Vec<Alert> {
        otlp::alerts(&self.file)
    }

    /// Spans.
    pub fn spans(&self) -> Vec<Span> {
        otlp::spans(&self.file)
    }

    /// What a database user did in a database.
    pub fn volume(&self, database: &str, user: &str) -> Volume {
        Volume::of(&self.metrics(), database, user)
    }
}
