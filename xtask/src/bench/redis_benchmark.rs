//! What Redis is made to do.

use std::{
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::load::{Done, Load};
use crate::{command, redis::Server, signal};

/// Keys, all of them there, as redis-benchmark names them.
const KEYS: u64 = 100_000;
/// Bytes of a value.
const VALUE: usize = 100;
/// Commands of one write while keys are made.
const AT_ONCE: u64 = 1000;
/// It ends when it is ended.
const ENDLESS: &str = "2000000000";
/// Until all its clients are connected.
const CONNECTED: Duration = Duration::from_millis(200);

/// Makes the keys.
pub fn prepare(server: &Server) -> Result<String> {
    let mut client = server.connect()?;
    let value = "x".repeat(VALUE);
    for first in (0..KEYS).step_by(AT_ONCE as usize) {
        for number in first..first + AT_ONCE {
            client.put(&["SET", &format!("key:{number:012}"), &value]);
        }
        client.flush()?;
        for _ in 0..AT_ONCE {
            client.reply()?;
        }
    }
    Ok(format!("{KEYS} keys"))
}

/// Runs a load for a while: the server on one processor, its 50 clients on the other. The server counts.
pub fn run(load: Load, server: &Server, slice: Duration) -> Result<Done> {
    let is_unix = matches!(load, Load::RedisGet | Load::RedisGetPipelined);
    let mut benchmark = server.client("redis-benchmark", is_unix);
    benchmark.args(["-t", "get", "-q", "-n", ENDLESS, "-r", &KEYS.to_string()]);
    if matches!(load, Load::RedisGetPipelined | Load::RedisGetPipelinedTcp) {
        benchmark.args(["-P", "16"]);
    }
    let before = server.calls("get")?;
    let child = benchmark
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{}`", command::typed(&benchmark)))?;
    let mut ended = Ended(child);
    thread::sleep(CONNECTED);
    let (began, first) = (Instant::now(), server.calls("get")?);
    thread::sleep(slice);
    let (last, took) = (server.calls("get")?, began.elapsed());
    signal::check()?;
    if let Some(status) = ended
        .0
        .try_wait()
        .context("cannot wait for a child process")?
    {
        bail!("redis-benchmark ended by itself: {status}");
    }
    drop(ended);
    if last == first {
        bail!("redis-benchmark did nothing in {slice:?}");
    }
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    let rate = (last - first) as f64 / took.as_secs_f64();
    Ok(Done {
        rate,
        count: server.calls("get")? - before,
    })
}

/// Ended when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
