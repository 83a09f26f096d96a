//! The thread that writes: takes what comes by a short queue, one transaction a second. When the disk is full or fails it
//! says so, keeps sums in bounded memory, and goes on when there is room again.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{Batch, Bounds, Fates, Store};
use crate::time::Timestamp;

/// Batches that wait: seconds, as one comes a second.
const QUEUE: usize = 4;
/// How often to try again when writing failed.
const RETRY: Duration = Duration::from_secs(2);
/// How long roll-ups may take after each write.
const UPKEEP: Duration = Duration::from_millis(200);

/// How the writer fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Why nothing is written, when it is so.
    pub stopped: Option<String>,
    /// Rows that found no place while it was so, or because sums were too many.
    pub lost_rows: u64,
    /// Rows forgotten before their time because the file had reached its size.
    pub pruned_rows: u64,
    /// Transactions.
    pub written: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: Mutex<Option<String>>,
    lost_rows: AtomicU64,
    pruned_rows: AtomicU64,
    written: AtomicU64,
    bytes: AtomicU64,
    fates: Mutex<Arc<Fates>>,
}

/// The writing thread's handle.
#[derive(Debug)]
pub struct Writer {
    sender: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What the thread works with.
struct Worker {
    path: PathBuf,
    bounds: Bounds,
    max: usize,
    follow_detector: bool,
    store: Option<Store>,
    pending: Batch,
    failed: Option<Instant>,
    told_pruning: bool,
    shared: Arc<Shared>,
}

impl Writer {
    /// Starts the thread. `store` may be missing, with the reason: it is opened when that can be done. `max` bounds the
    /// sums that are kept while writing fails; `follow_detector`: see [`Store`].
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        path: PathBuf,
        bounds: Bounds,
        max: usize,
        follow_detector: bool,
        store: Result<Store>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = sync_channel(QUEUE);
        let mut worker = Worker {
            path,
            bounds,
            max,
            follow_detector,
            store: None,
            pending: Batch::default(),
            failed: None,
            told_pruning: false,
            shared: shared.clone(),
        };
        match store {
            Ok(store) => worker.take_up(store),
            Err(error) => worker.fail(&error),
        }
        let thread = std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || worker.run(&receiver))?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
            shared,
        })
    }

    /// Hands a batch over; never waits. What the queue has no room for comes back.
    pub fn send(&self, batch: Batch) -> Option<Batch> {
        let sender = self.sender.as_ref()?;
        match sender.try_send(batch) {
            Ok(()) => None,
            Err(TrySendError::Full(batch)) => Some(batch),
            // The thread panicked: its message is in the log, the state says that it stopped.
            Err(TrySendError::Disconnected(_)) => {
                self.shared
                    .set_stopped(Some("its thread has ended".to_owned()));
                None
            }
        }
    }

    /// How it fares.
    pub fn state(&self) -> State {
        State {
            stopped: lock(&self.shared.stopped).clone(),
            lost_rows: self.shared.lost_rows.load(Relaxed),
            pruned_rows: self.shared.pruned_rows.load(Relaxed),
            written: self.shared.written.load(Relaxed),
            bytes: self.shared.bytes.load(Relaxed),
        }
    }

    /// What people have said of alerts, as of a second ago.
    pub fn fates(&self) -> Arc<Fates> {
        lock(&self.shared.fates).clone()
    }

    /// Writes what is there and ends; waits for it no longer than that. False: it is still at it.
    pub fn finish(mut self, patience: Duration) -> bool {
        self.sender = None;
        let Some(thread) = self.thread.take() else {
            return true;
        };
        let deadline = Instant::now() + patience;
        while !thread.is_finished() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        thread.join().is_ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn set_stopped(&self, why: Option<String>) {
        *lock(&self.stopped) = why;
    }
}

impl Worker {
    fn run(mut self, receiver: &Receiver<Batch>) {
        while let Ok(batch) = receiver.recv() {
            self.absorb(batch);
            while let Ok(batch) = receiver.try_recv() {
                self.absorb(batch);
            }
            if self.failed.is_none_or(|failed| failed.elapsed() >= RETRY) {
                self.attempt();
            }
        }
        // The last of it, whatever happened before.
        self.attempt();
    }

    fn absorb(&mut self, batch: Batch) {
        let lost = self.pending.absorb(batch, self.max);
        self.shared.lost_rows.fetch_add(lost, Relaxed);
    }

    fn attempt(&mut self) {
        match self.write() {
            Ok(()) => {
                if self.failed.take().is_some() {
                    log::warn!(
                        "history: {} is written again{}",
                        self.path.display(),
                        match self.shared.lost_rows.load(Relaxed) {
                            0 => "; nothing was lost".to_owned(),
                            rows => format!("; {rows} rows are missing in it"),
                        }
                    );
                }
                self.shared.set_stopped(None);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &anyhow::Error) {
        if self.failed.is_none() {
            log::error!(
                "ALERT CRITICAL history: {} can't be written ({error:#}): volumes are watched and exported as before, but not \
                 remembered; make room on its disk or set [history] path or max_size. Up to {} sums wait in memory, it is tried \
                 again every {RETRY:?}",
                self.path.display(),
                self.max
            );
        }
        if error
            .downcast_ref::<rusqlite::Error>()
            .is_some_and(super::schema::damaged)
        {
            // Opened anew, and set aside then.
            self.store = None;
        }
        self.failed = Some(Instant::now());
        self.shared.set_stopped(Some(format!("{error:#}")));
    }

    fn take_up(&mut self, mut store: Store) {
        store.follow_detector = self.follow_detector;
        self.store = Some(store);
        if let Err(error) = self.read_back() {
            self.fail(&error);
        }
    }

    /// What others wrote, and the size.
    fn read_back(&mut self) -> Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let known = lock(&self.shared.fates).clone();
        let applied = known.unapplied().next().is_some();
        if applied || known.is_stale(store.connection())? {
            *lock(&self.shared.fates) = Arc::new(Fates::load(store.connection())?);
        }
        self.shared.bytes.store(store.bytes()?, Relaxed);
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        if self.store.is_some() && !self.path.exists() {
            log::error!(
                "history: {} was taken away while it was in use; it is begun anew",
                self.path.display()
            );
            self.store = None;
        }
        if self.store.is_none() {
            let store = Store::open(&self.path)?;
            self.take_up(store);
        }
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if !self.pending.is_empty() {
            store.write(&self.pending)?;
            self.pending = Batch::default();
            self.shared.written.fetch_add(1, Relaxed);
        }
        let begun = Instant::now();
        loop {
            let step = store.upkeep(&self.bounds, Timestamp::now())?;
            if step.pruned_rows > 0 {
                self.shared.pruned_rows.fetch_add(step.pruned_rows, Relaxed);
                if !std::mem::replace(&mut self.told_pruning, true) {
                    log::warn!(
                        "history: {} has reached its size: the oldest goes before its time; raise [history] max_size or lower what is kept",
                        self.path.display()
                    );
                }
            }
            if !step.more || begun.elapsed() > UPKEEP {
                break;
            }
        }
        self.read_back()
    }
}
