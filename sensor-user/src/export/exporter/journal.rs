//! The queue's copy on disk: what waits for the collector outlives the sensor (docs/decisions/durable-queue.md).
//!
//! The queue in memory is what deliveries are made from; this file follows it, written by a thread of its own. So a disk
//! that is slow, full or gone holds up no alert: what could not be written is counted and said.

use std::{
    fmt,
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::health::Repeated;
use crate::{
    export::sink::{Message, Signal},
    time::Timestamp,
};

/// Changes that may wait for the disk.
const CHANGES: usize = 20_000;
/// Changes written in one transaction.
const TOGETHER: usize = 1_000;
/// Number of the file's form (`PRAGMA user_version`).
const FORM: i64 = 1;

/// A message that an earlier run left behind, or one of this run, with its place in the order.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Grows with each message, over restarts.
    pub key: u64,
    /// The message.
    pub message: Arc<Message>,
}

/// See the module.
pub struct Journal {
    path: PathBuf,
    changes: Mutex<Option<SyncSender<Change>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Changes that never got to the disk.
    lost: AtomicU64,
    /// The last write failed.
    failing: AtomicBool,
}

enum Change {
    /// These wait now.
    Added(Vec<Entry>),
    /// These wait no more.
    Gone(Vec<u64>),
    /// Of this run's cumulative metrics these wait, and no others.
    Metrics(Vec<Entry>),
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Journal({})", self.path.display())
    }
}

impl Journal {
    /// Opens the file, or makes it; returns what waits in it, in its order. A file that makes no sense is put aside.
    ///
    /// # Errors
    /// When there can be no such file, or another process has it.
    pub fn open(path: &Path, max_bytes: u64) -> Result<(Self, Vec<Entry>)> {
        let (mut connection, found) = match open(path, max_bytes) {
            Ok(opened) => opened,
            Err(error) if is_damaged(&error) => {
                let aside = put_aside(path)?;
                log::error!(
                    "export.queue: {} is damaged ({error:#}): what waited in it is not sent; it is kept as {}",
                    path.display(),
                    aside.display()
                );
                open(path, max_bytes)?
            }
            Err(error) => return Err(error),
        };
        let (sender, changes) = sync_channel(CHANGES);
        let state = Arc::new(State::default());
        let thread = std::thread::Builder::new()
            .name("export-queue".to_owned())
            .spawn({
                let (state, path) = (state.clone(), path.to_owned());
                move || follow(&mut connection, &changes, &state, &path)
            })
            .context("cannot start the thread that writes the queue")?;
        let journal = Self {
            path: path.to_owned(),
            changes: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            state,
        };
        Ok((journal, found))
    }

    /// These wait now.
    pub fn added(&self, entries: Vec<Entry>) {
        self.tell(Change::Added(entries));
    }

    /// These wait no more.
    pub fn gone(&self, keys: Vec<u64>) {
        if !keys.is_empty() {
            self.tell(Change::Gone(keys));
        }
    }

    /// Of this run's cumulative metrics these wait, and no others.
    pub fn metrics(&self, entries: Vec<Entry>) {
        self.tell(Change::Metrics(entries));
    }

    fn tell(&self, change: Change) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = &*changes else { return };
        match sender.try_send(change) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.state.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Changes that never got to the disk.
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Waits until all is written, for at most `patience`. True: it is.
    pub fn close(&self, patience: Duration) -> bool {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        else {
            return false;
        };
        let deadline = Instant::now() + patience;
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        thread.join().is_ok() && self.lost() == 0 && !self.state.failing.load(Ordering::Relaxed)
    }
}

/// Writes changes until there are no more.
fn follow(connection: &mut Connection, changes: &Receiver<Change>, state: &State, path: &Path) {
    let mut trouble = Repeated::default();
    // What could not be written is tried again with what comes next, as long as it is not too much.
    let mut pending: Vec<Change> = Vec::new();
    loop {
        let wait = if pending.is_empty() {
            Duration::from_secs(3600)
        } else {
            Duration::from_secs(1)
        };
        let ended = match changes.recv_timeout(wait) {
            Ok(change) => {
                pending.push(change);
                pending.extend(changes.try_iter().take(TOGETHER));
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        if !pending.is_empty() {
            match write(connection, &pending) {
                Ok(()) => {
                    state.failing.store(false, Ordering::Relaxed);
                    pending.clear();
                }
                Err(error) => {
                    state.failing.store(true, Ordering::Relaxed);
                    if trouble.tell(1).is_some() {
                        log::error!(
                            "export.queue: cannot write {}: {error}; alerts are delivered all the same, but what waits would not outlive the sensor: is the disk full?",
                            path.display()
                        );
                    }
                    if pending.len() > CHANGES {
                        let over = pending.len() - CHANGES;
                        pending.drain(..over);
                        state.lost.fetch_add(over as u64, Ordering::Relaxed);
                    }
                }
            }
        }
        if ended {
            return;
        }
    }
}

fn write(connection: &mut Connection, changes: &[Change]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for change in changes {
        match change {
            Change::Added(entries) => insert(&transaction, entries, false)?,
            Change::Gone(keys) => {
                let mut delete =
                    transaction.prepare_cached("DELETE FROM message WHERE key = ?1")?;
                for key in keys {
                    delete.execute([key.cast_signed()])?;
                }
            }
            Change::Metrics(entries) => {
                transaction
                    .prepare_cached("DELETE FROM message WHERE replaceable")?
                    .execute([])?;
                insert(&transaction, entries, true)?;
            }
        }
    }
    transaction.commit()
}

fn insert(
    transaction: &Transaction<'_>,
    entries: &[Entry],
    replaceable: bool,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO message (key, signal, replaceable, body) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for entry in entries {
        insert.execute(params![
            entry.key.cast_signed(),
            entry.message.signal().as_str(),
            replaceable,
            entry.message.encoded(),
        ])?;
    }
    Ok(())
}

fn open(path: &Path, max_bytes: u64) -> Result<(Connection, Vec<Entry>)> {
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    }
    // Made here, so that nobody else can read it; SQLite's other files take its permissions.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let connection =
        Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    connection.busy_timeout(Duration::from_secs(1))?;
    let pragma = |name: &str, value: &dyn rusqlite::ToSql| {
        connection
            .pragma_update(None, name, value)
            .with_context(|| format!("{}: PRAGMA {name}", path.display()))
    };
    pragma("locking_mode", &"EXCLUSIVE")?;
    pragma("journal_mode", &"WAL")?;
    // Each transaction reaches the disk: an alert outlives a power failure, too.
    pragma("synchronous", &"FULL")?;
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    // What is deleted is used again; twice the queue is more than it can ever hold.
    let most = i64::try_from(2 * max_bytes).unwrap_or(i64::MAX);
    pragma("max_page_count", &(most / page.max(1)).max(256))?;
    let form: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    ensure!(
        form == 0 || form == FORM,
        "{} was written by another version of the sensor (form {form}, this one knows {FORM}): move it away, or start that version to empty it",
        path.display()
    );
    let sound: Option<String> = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .optional()?;
    ensure!(sound.as_deref() == Some("ok"), DAMAGED);
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS message (
             key INTEGER PRIMARY KEY,
             signal TEXT NOT NULL,
             replaceable INTEGER NOT NULL,
             body BLOB NOT NULL
         ) STRICT;
         CREATE INDEX IF NOT EXISTS replaceable ON message (key) WHERE replaceable;
         UPDATE message SET replaceable = 0 WHERE replaceable;",
    )?;
    pragma("user_version", &FORM)?;
    let found = waiting(&connection)?;
    Ok((connection, found))
}

/// What an earlier run left. Its metrics are final: nobody will send newer values of them.
fn waiting(connection: &Connection) -> Result<Vec<Entry>> {
    let mut select = connection.prepare("SELECT key, signal, body FROM message ORDER BY key")?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    let mut senseless = Vec::new();
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        let name: String = row.get(1)?;
        let body: Vec<u8> = row.get(2)?;
        let signal = Signal::ALL
            .into_iter()
            .find(|signal| signal.as_str() == name);
        match signal.and_then(|signal| Message::decode(signal, &body)) {
            Some(message) => found.push(Entry {
                key: key.cast_unsigned(),
                message: Arc::new(message),
            }),
            None => senseless.push(key),
        }
    }
    drop(rows);
    for key in &senseless {
        connection.execute("DELETE FROM message WHERE key = ?1", [key])?;
    }
    if !senseless.is_empty() {
        log::error!(
            "export.queue: {} messages on disk make no sense and are not sent",
            senseless.len()
        );
    }
    Ok(found)
}

const DAMAGED: &str = "its pages do not fit together";

fn is_damaged(error: &anyhow::Error) -> bool {
    error.to_string() == DAMAGED
        || error.chain().any(|cause| {
            cause
                .downcast_ref::<rusqlite::Error>()
                .and_then(rusqlite::Error::sqlite_error_code)
                .is_some_and(|code| {
                    matches!(
                        code,
                        rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt
                    )
                })
        })
}

/// Renames the file and what belongs to it.
fn put_aside(path: &Path) -> Result<PathBuf> {
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = named(&format!(".damaged-{}", Timestamp::now().0 / 1_000_000_000));
    fs::rename(path, &aside).with_context(|| format!("cannot put {} aside", path.display()))?;
    for suffix in ["-wal", "-shm"] {
        match fs::remove_file(named(suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context("cannot remove the log of a damaged file");
            }
            _ => {}
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests;
