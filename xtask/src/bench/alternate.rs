//! Slices of milliseconds, with and without in turn, under one load that never stops.
//!
//! On a shared machine throughput goes up and down by a tenth from second to second, whatever one measures. What changes
//! that slowly falls on both of two neighbouring slices of 25 ms alike: in the same time they tell ten times as much as
//! slices of seconds.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{
    bed::Bed,
    load::{self, Load},
    switch::Switch,
    variant::{On, Variant},
};
use crate::{signal, workspace};

/// Before the first slice: everybody is connected, texts are known.
const SETTLE: Duration = Duration::from_secs(3);
/// After a switch, this much is not counted: processors are told of the change.
const UNSETTLED: Duration = Duration::from_millis(3);
/// Of so many transactions pgbench notes one: enough, and cheap.
const SAMPLED: f64 = 0.25;

/// Time in which nothing was switched, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    on: bool,
    begin: u64,
    end: u64,
}

/// Throughput without and with the variant, in transactions a second, from all slices of each of `pairs` blocks.
pub fn measure(
    load: Load,
    variant: Variant,
    bed: &Bed,
    pairs: u32,
    block: Duration,
) -> Result<Vec<(f64, f64)>> {
    let on = On::detached(variant, bed)?;
    let mut switch = on
        .pid()
        .map(|pid| Switch::of(pid, variant.programs_of_a_hook()))
        .transpose()?;
    let server = bed.server(variant)?;
    let log = Log::begin()?;
    // As if it had always been on: connections are seen from their beginning.
    turn(&mut switch, true)?;
    let length = SETTLE + block * pairs + Duration::from_secs(1);
    let blocks = thread::scope(|scope| {
        let runs = scope.spawn(|| load::logged(load, server, length, SAMPLED, &log.prefix()));
        thread::sleep(SETTLE);
        if let Some(switch) = &mut switch {
            switch.keep_connections()?;
        }
        let mut generator = ChaCha8Rng::seed_from_u64(u64::from(pairs));
        let mut blocks = Vec::new();
        for _ in 0..pairs {
            signal::check()?;
            if runs.is_finished() {
                break;
            }
            blocks.push(slices(&mut switch, slice(load), block, &mut generator)?);
        }
        turn(&mut switch, true)?;
        runs.join()
            .map_err(|_| anyhow::anyhow!("the load panicked"))??;
        anyhow::Ok(blocks)
    })?;
    drop(switch);
    on.off()?;
    let completions = log.completions()?;
    blocks
        .iter()
        .map(|slices| rates(slices, &completions).context("a block without transactions"))
        .map(|rates| rates.map(|(without, with)| (without / SAMPLED, with / SAMPLED)))
        .collect()
}

/// Length of a slice: a connection lies in one.
fn slice(load: Load) -> Duration {
    match load {
        Load::Connect => Duration::from_millis(250),
        _ => Duration::from_millis(25),
    }
}

fn turn(switch: &mut Option<Switch>, on: bool) -> Result<()> {
    match switch {
        Some(switch) if on => switch.on(),
        Some(switch) => {
            switch.off();
            Ok(())
        }
        None => Ok(()),
    }
}

/// Slices for as long as `block`, off and on in turn; on when it ends, as before it begins.
///
/// Their lengths vary by a half, so that nothing that comes at its own pace meets always the same of both.
fn slices(
    switch: &mut Option<Switch>,
    slice: Duration,
    block: Duration,
    generator: &mut ChaCha8Rng,
) -> Result<Vec<Slice>> {
    let mut slices = Vec::new();
    let began = Instant::now();
    let mut on = true;
    while began.elapsed() < block || !on {
        on = !on;
        turn(switch, on)?;
        thread::sleep(UNSETTLED);
        let begin = now();
        thread::sleep(slice.mul_f64(generator.random_range(0.75..1.25)));
        slices.push(Slice {
            on,
            begin,
            end: now(),
        });
    }
    Ok(slices)
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|time| u64::try_from(time.as_micros()).ok())
        .unwrap_or(0)
}

/// Completions a second in the slices without and with; `completions` are sorted. `None` where there is nothing to divide
/// by.
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds, and transactions in them"
)]
fn rates(slices: &[Slice], completions: &[u64]) -> Option<(f64, f64)> {
    let (mut counts, mut times) = ([0usize; 2], [0u64; 2]);
    for slice in slices {
        let side = usize::from(slice.on);
        let before = |time| completions.partition_point(|completion| *completion < time);
        counts[side] += before(slice.end) - before(slice.begin);
        times[side] += slice.end.saturating_sub(slice.begin);
    }
    if counts.contains(&0) || times.contains(&0) {
        return None;
    }
    let rate = |side: usize| counts[side] as f64 * 1e6 / times[side] as f64;
    Some((rate(0), rate(1)))
}

/// pgbench's own logs of transactions. Removed when dropped.
struct Log {
    folder: PathBuf,
}

impl Log {
    fn begin() -> Result<Self> {
        let folder = workspace::bench().join("transactions");
        let _ = fs::remove_dir_all(&folder);
        workspace::directory(&folder)?;
        Ok(Self { folder })
    }

    fn prefix(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// When transactions ended, in microseconds since 1970, sorted.
    fn completions(&self) -> Result<Vec<u64>> {
        let mut completions = Vec::new();
        let entries = fs::read_dir(&self.folder)
            .with_context(|| format!("cannot read {}", self.folder.display()))?;
        for entry in entries.flatten() {
            completions.extend(read(&entry.path())?);
        }
        completions.sort_unstable();
        Ok(completions)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn read(path: &Path) -> Result<Vec<u64>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .map(|line| match completion(line) {
            Some(time) => Ok(time),
            None => bail!("{}: pgbench noted `{line}`", path.display()),
        })
        .collect()
}

/// Of `client transaction latency script seconds microseconds`, the last two.
fn completion(line: &str) -> Option<u64> {
    let mut fields = line.split(' ').skip(4);
    let seconds: u64 = fields.next()?.parse().ok()?;
    let microseconds: u64 = fields.next()?.parse().ok()?;
    Some(seconds * 1_000_000 + microseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_pgbench_notes() {
        assert_eq!(
            completion("3 17 412 0 1764169123 000412"),
            Some(1_764_169_123_000_412)
        );
        assert_eq!(completion("3 17 412 0"), None);
    }

    #[test]
    fn counts_by_slice() {
        let slice = |on, begin, end| Slice { on, begin, end };
        let slices = [
            slice(false, 0, 1_000_000),
            slice(true, 1_500_000, 2_000_000),
        ];
        // One lies between the slices, and one behind them.
        let completions = [0, 10, 999_999, 1_200_000, 1_500_000, 2_000_000];
        assert_eq!(rates(&slices, &completions), Some((3.0, 2.0)));
        assert_eq!(rates(&slices[..1], &completions), None);
        assert_eq!(rates(&slices, &[]), None);
    }
}
