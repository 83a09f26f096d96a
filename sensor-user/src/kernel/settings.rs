//! What the programs are told when they are loaded.

use anyhow::{Context as _, Result, bail};
use btf_rs::Btf;
use sensor_ebpf::settings::{COMMANDS, Settings};

use super::{hooks::Family, load::monotonic_time, offsets};
use crate::{
    config::{
        Config,
        discover::{MYSQL_COMMAND_NAMES, REDIS_COMMAND_NAMES},
        kernel::Scope,
    },
    discover,
};

/// Progress records of a streaming statement: after so many bytes, or some milliseconds.
const PROGRESS_BYTES: u64 = 256 << 10;

/// Length of the kernel's tick in nanoseconds: the resolution of its coarse clock.
fn tick() -> Result<u32> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to a local.
    if unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) } != 0 {
        bail!(
            "cannot read the length of the kernel's tick: {}",
            std::io::Error::last_os_error()
        );
    }
    Ok(u32::try_from(time.tv_nsec)?)
}

/// All but the secret of the hashes of records ([`record_keys`]).
///
/// # Errors
/// When the kernel's type information lacks a field, the network namespace can't be told, or the configuration names too many
/// commands.
pub fn settings(config: &Config, family: Family, btf: &Btf) -> Result<Settings> {
    let mut settings = Settings {
        skim_after: config.kernel.skim_after.unwrap_or(u64::MAX),
        progress_bytes: PROGRESS_BYTES,
        loaded_at: monotonic_time(),
        tick: tick()?,
        slot_mask: config.kernel.max_connections.next_power_of_two() - 1,
        offsets: offsets::read(btf)?,
        netns: match config.kernel.network_namespace {
            Scope::All => 0,
            Scope::Own => discover::network_namespace("self")
                .context("kernel.network_namespace: cannot tell the sensor's own")?,
        },
        link_interval: match config.export.links_per_second {
            0 => 0,
            links => 1_000_000_000 / u64::try_from(links)?,
        },
        ..Settings::default()
    };
    if !config.principals.tags.is_empty() && !family.knows_foreign() {
        log::warn!(
            "[principals] tags: none is seen, the hooks {} have no room for looking into comments: all who share a database user count as one",
            family.name()
        );
    }
    settings.tags = sensor_ebpf::tags::names(config.principals.tags.iter().map(|name| &**name));
    for key in &mut settings.fingerprint_keys {
        *key = random()? | 1;
    }
    let is_mysql = |name: &String| MYSQL_COMMAND_NAMES.contains(&name.as_str());
    let is_redis = |name: &String| REDIS_COMMAND_NAMES.contains(&name.as_str());
    let names = config.discover.command_names();
    let watched = names
        .iter()
        .filter(|name| family.knows_foreign() || !is_mysql(name) && !is_redis(name));
    for (i, name) in watched.enumerate() {
        if i == COMMANDS || name.is_empty() || name.len() > 15 {
            bail!(
                "discover.extra_command_names: at most {} names of 1 to 15 bytes",
                COMMANDS - 4
            );
        }
        let mut command = [0; 16];
        command[..name.len()].copy_from_slice(name.as_bytes());
        let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| command[at + i]));
        settings.commands[i] = [word(0), word(8)];
        if is_mysql(name) {
            settings.mysql_commands |= 1 << i;
        } else if is_redis(name) {
            settings.redis_commands |= 1 << i;
        }
    }
    Ok(settings)
}

/// The secret of the hashes of records: beside the history, which remembers them over restarts. It is made where there is none.
///
/// # Errors
/// When the kernel gives no randomness.
pub fn record_keys(config: &Config) -> Result<[u64; 2]> {
    if config.history.enabled {
        match crate::history::secret(&config.history.path) {
            Ok(keys) => return Ok(keys),
            Err(error) => log::error!(
                "{error:#}: records read before the next restart will not be known again after it"
            ),
        }
    }
    Ok([random()?, random()?])
}

/// Eight bytes of the kernel's randomness.
fn random() -> Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: writes at most eight bytes to a local array of eight.
    let read = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if read != 8 {
        bail!("getrandom failed: {}", std::io::Error::last_os_error());
    }
    Ok(u64::from_ne_bytes(bytes))
}
