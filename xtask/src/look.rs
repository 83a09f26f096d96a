//! `cargo xtask look`: a real session and its alert in a trace page that nobody here wrote, as pictures to judge. Not part of the
//! tests: the page alone takes a gigabyte, and nobody but a person sees whether it is understood.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    build, command,
    command::command,
    progress::Progress,
    setup::{self, For},
    throwaway::free_port,
    workspace,
};

/// How long the page may take to come up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Ends with this verb.
struct Page(Child);

impl Drop for Page {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Plays a session, exports it, takes pictures.
pub fn look() -> Result<()> {
    workspace::require_root_and_btf("look")?;
    let progress = Progress::new();
    setup::install(&progress, For::Test)?;
    let phoenix = setup::trace_page(&progress)?;
    let sensor = build::release(&progress)?;
    let folder = workspace::root().join("target/look");
    workspace::directory(&folder)?;
    let (web, grpc) = (free_port()?, free_port()?);
    let _page = start(&phoenix, &folder, web, grpc)?;
    progress.loud("a session and its alert", || {
        let mut test = command::cargo();
        test.args([
            "test",
            "--package",
            "integration-tests",
            "--test",
            "delivery",
        ])
        .args(["--", "--ignored", "a_session_for_a_page"])
        .env("OTLP_ENDPOINT", format!("http://127.0.0.1:{grpc}"))
        .env("SENSOR_BIN", &sensor);
        command::shown_cargo(&mut test, Stdio::inherit())
    })?;
    for (name, trace) in traces(web)? {
        let picture = folder.join(format!("{name}.png"));
        shoot(&format!("http://127.0.0.1:{web}/{trace}"), &picture)?;
        eprintln!("{}", picture.display());
    }
    Ok(())
}

fn start(phoenix: &Path, folder: &Path, web: u16, grpc: u16) -> Result<Page> {
    let data = folder.join("phoenix");
    // What an earlier look has left would be in the pictures.
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    workspace::directory(&data)?;
    let log =
        fs::File::create(folder.join("phoenix.log")).context("cannot write the page's log")?;
    let child = command(phoenix)
        .args(["-m", "phoenix.server.main", "serve"])
        .env("PHOENIX_WORKING_DIR", &data)
        .env("PHOENIX_HOST", "127.0.0.1")
        .env("PHOENIX_PORT", web.to_string())
        .env("PHOENIX_GRPC_PORT", grpc.to_string())
        .env("PHOENIX_TELEMETRY_ENABLED", "false")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start the trace page")?;
    let page = Page(child);
    let deadline = Instant::now() + PATIENCE;
    while get(web, "/healthz").is_err() {
        if Instant::now() > deadline {
            bail!(
                "the trace page did not come up:\n{}",
                command::tail(&folder.join("phoenix.log"))
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(page)
}

/// Pages worth a picture: the list, the session, the last alert.
fn traces(web: u16) -> Result<Vec<(&'static str, String)>> {
    let projects: Value = serde_json::from_str(&get(web, "/v1/projects")?)?;
    let project = projects
        .pointer("/data/0/id")
        .and_then(Value::as_str)
        .context("the page has no project")?
        .to_owned();
    let spans: Value = serde_json::from_str(&get(web, "/v1/projects/default/spans?limit=200")?)?;
    let of = |beginning: &str| -> Result<String> {
        let mut spans = spans["data"].as_array().into_iter().flatten();
        let found = spans.find(|span| {
            let name = span["name"].as_str().unwrap_or_default();
            name.starts_with(beginning) && span["parent_id"].is_null()
        });
        found
            .and_then(|span| span.pointer("/context/trace_id")?.as_str())
            .map(|trace| format!("projects/{project}/traces/{trace}"))
            .with_context(|| format!("no trace `{beginning}…` has arrived"))
    };
    Ok(vec![
        ("list", format!("projects/{project}/traces")),
        ("session", of("session ")?),
        ("alert", of("alert ")?),
    ])
}

fn shoot(url: &str, picture: &Path) -> Result<()> {
    let profile = picture.with_extension("profile");
    let mut chromium = command("chromium");
    chromium
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args(["--window-size=1500,950", "--virtual-time-budget=15000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(url);
    command::logged_within(&mut chromium, "chromium", Some(PATIENCE))?;
    fs::remove_dir_all(&profile).ok();
    ensure!(picture.is_file(), "the browser took no picture of {url}");
    Ok(())
}

/// The body of an answer with status 200.
fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => bail!("{path}: {}", answer.lines().next().unwrap_or_default()),
    }
}
