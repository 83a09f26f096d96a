//! `sensor run`: load, attach, watch, flush.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::MissedTickBehavior,
};

use super::{Failure, RunArguments, allocator, live::Live, load, lock};
use crate::{
    config::{Config, environment},
    console::{
        serve,
        socket::{self, Socket},
    },
    export::shown_endpoint,
    inventory,
    kernel::{capability, load::Kernel, privileges},
};

/// How long a flush at the end may take.
const FLUSH: Duration = Duration::from_secs(5);
/// How often free memory goes back to the kernel.
const GIVE_BACK: Duration = Duration::from_secs(10);

/// Runs until SIGINT or SIGTERM.
pub fn run(arguments: &RunArguments) -> Result<(), Failure> {
    let mut config = load(arguments.config.as_deref())?;
    apply(&mut config, arguments)?;
    if !privileges::can_load() {
        return Err(anyhow!(
            "loading BPF programs takes root (or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH), and this \
             process lacks {}: run `sudo sensor run …`; `sensor check` says what is missing",
            privileges::lacking(true).join(" and ")
        )
        .into());
    }
    privileges::unlock_memory();
    if let Some(why) = capability::obstacle() {
        return Err(anyhow!("{why}").into());
    }
    for name in privileges::lacking(false) {
        log::warn!(
            "this process lacks {name}: servers of other users can't be found or looked at; `sensor check` says which"
        );
    }
    let _lock = lock::take()?;
    allocator::configure();
    let kernel = Kernel::load(&config)?;
    let socket = socket::open(&config.console)?;
    // While there is one thread: capabilities belong to threads, and later ones inherit what is left.
    privileges::drop_all_but_needed(arguments.user.as_deref(), kernel.right_to_probe())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(watch(config, kernel, socket, arguments))
}

/// Command line options win over the file.
fn apply(config: &mut Config, arguments: &RunArguments) -> Result<(), Failure> {
    environment::apply(&mut config.export, |name| std::env::var(name).ok())
        .map_err(Failure::Usage)?;
    if let Some(path) = &arguments.otlp_file {
        config.export.otlp_file = Some(path.clone());
    }
    if let Some(url) = &arguments.otlp_endpoint {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Failure::Usage(format!(
                "--otlp-endpoint: `{}` is no URL\nhint: write http://localhost:4317 (gRPC) or http://localhost:4318 (HTTP)",
                shown_endpoint(url)
            )));
        }
        config.export.send_all_to(url);
    }
    Ok(())
}

async fn watch(
    config: Config,
    kernel: Kernel,
    socket: Option<Socket>,
    arguments: &RunArguments,
) -> Result<(), Failure> {
    // Before anything is attached, so that an early signal is not lost.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;

    let (found, mut measured) = mpsc::channel(16);
    let mut live = Live::new(config.clone(), kernel, arguments.console)?;
    live.start(arguments.detached)?;
    // Without a socket nobody asks.
    let (_no_asks, mut asked) = mpsc::channel(1);
    if let Some(socket) = &socket {
        let listener = socket.listener().context("console: out of descriptors")?;
        let (asks, readers) = serve::start(listener)?;
        live.is_read_by(readers);
        asked = asks;
    }
    eprintln!("sensor ready");
    tokio::spawn(inventory::measure(config.inventory.clone(), found));
    let (connected, mut active) = mpsc::channel(4);
    tokio::spawn(inventory::ask_who(config.inventory.clone(), connected));

    let mut drain = tokio::time::interval(config.kernel.drain_interval);
    drain.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut export = tokio::time::interval(config.export.interval);
    export.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut housekeeping = tokio::time::interval(Duration::from_millis(100));
    housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reload = Reload::new(arguments);
    // The first tick is at once: what loading took goes back.
    let mut give_back = tokio::time::interval(GIVE_BACK);
    give_back.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = give_back.tick() => drop(tokio::task::spawn_blocking(allocator::give_back)),
            _ = drain.tick() => live.drain(),
            _ = export.tick() => live.export_metrics(),
            _ = housekeeping.tick() => {
                live.housekeeping();
                if let Some(config) = reload.changed(arguments) {
                    live.reconfigure(&config);
                }
            }
            Some(sizes) = measured.recv() => live.measured(sizes),
            Some(activity) = active.recv() => live.connected(&activity),
            Some(ask) = asked.recv() => live.answer(ask),
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    // From now on there is nothing to read along with.
    drop(socket);
    live.finish(FLUSH).await?;
    Ok(())
}

/// Notices when the configuration file changes.
struct Reload {
    modified: Option<std::time::SystemTime>,
    checked: Instant,
}

impl Reload {
    fn new(arguments: &RunArguments) -> Self {
        Self {
            modified: modified(arguments),
            checked: Instant::now(),
        }
    }

    /// The new configuration when the file has changed and is valid; the old one stays in force otherwise.
    fn changed(&mut self, arguments: &RunArguments) -> Option<Config> {
        if self.checked.elapsed() < Duration::from_secs(1) {
            return None;
        }
        self.checked = Instant::now();
        let now = modified(arguments);
        if now == self.modified || now.is_none() {
            return None;
        }
        self.modified = now;
        let read = load(arguments.config.as_deref()).and_then(|mut config| {
            apply(&mut config, arguments)?;
            Ok(config)
        });
        match read {
            Ok(config) => {
                log::info!("configuration read again");
                Some(config)
            }
            Err(Failure::Usage(message)) => {
                log::error!(
                    "the changed configuration is wrong, the old one stays in force:\n{message}"
                );
                None
            }
            Err(Failure::Runtime(error)) => {
                log::error!(
                    "the changed configuration can't be read, the old one stays in force: {error:#}"
                );
                None
            }
        }
    }
}

fn modified(arguments: &RunArguments) -> Option<std::time::SystemTime> {
    let path = arguments.config.as_ref()?;
    std::fs::metadata(path).ok()?.modified().ok()
}
