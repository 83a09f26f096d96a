//! Readers at the socket. Each has a task of its own that waits for questions; the sensor is asked for one snapshot at a time, and
//! never waits: what a reader does with its answer is that task's affair.

use std::{
    io,
    os::unix::net::UnixListener as StdListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::protocol::{Answer, Body, LONGEST_REQUEST, Request, Snapshot, VERSION};

/// Readers at the same time; others are told so.
const READERS: usize = 8;
/// Least time between two answers to one reader: a snapshot costs the sensor a moment.
const PACE: Duration = Duration::from_millis(200);
/// A reader that asks nothing for so long is gone.
const IDLE: Duration = Duration::from_secs(60);
/// How long a reader may take to take its answer.
const SLOW: Duration = Duration::from_secs(5);
/// How long the sensor may take to answer.
const BUSY: Duration = Duration::from_secs(10);

/// A reader's question, and where the answer goes.
#[derive(Debug)]
pub struct Ask {
    /// The question.
    pub request: Request,
    /// Nobody takes it when the reader is gone.
    pub answer: oneshot::Sender<Snapshot>,
}

/// How readers fare.
#[derive(Debug, Default)]
pub struct Readers {
    reading: AtomicU64,
    refused: AtomicU64,
    slow: AtomicU64,
    idle: AtomicU64,
    malformed: AtomicU64,
}

impl Readers {
    /// Readers attached.
    pub fn reading(&self) -> u64 {
        self.reading.load(Ordering::Relaxed)
    }

    /// Readers dropped so far, by cause.
    pub fn dropped(&self) -> [(&'static str, u64); 4] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("refused", of(&self.refused)),
            ("slow", of(&self.slow)),
            ("idle", of(&self.idle)),
            ("malformed", of(&self.malformed)),
        ]
    }
}

/// Why a reader's task ended.
enum End {
    /// It went away.
    Gone,
    /// It took too long to take its answer.
    Slow,
    /// It asked nothing for too long.
    Idle,
    /// What it sent is no question.
    Malformed,
}

/// Lets readers attach until the runtime ends; what they ask comes out of the channel.
///
/// # Errors
/// When the runtime does not take the socket.
pub fn start(listener: StdListener) -> anyhow::Result<(mpsc::Receiver<Ask>, Arc<Readers>)> {
    let listener = UnixListener::from_std(listener).context("console: cannot use the socket")?;
    // Each reader has one question open at most.
    let (asks, asked) = mpsc::channel(READERS);
    let readers = Arc::new(Readers::default());
    tokio::spawn(accept(listener, asks, readers.clone()));
    Ok((asked, readers))
}

async fn accept(listener: UnixListener, asks: mpsc::Sender<Ask>, readers: Arc<Readers>) {
    let places = Arc::new(Semaphore::new(READERS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: later is better than a busy loop.
                log::warn!("console: cannot accept a reader: {error}");
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            readers.refused.fetch_add(1, Ordering::Relaxed);
            // There is room for a line in the socket, or the reader is not one to wait for.
            let line = line(&error(&format!(
                "{READERS} readers are attached already: end one of them"
            )));
            let _ = stream.try_write(&line);
            continue;
        };
        if let Ok(peer) = stream.peer_cred() {
            let pid = peer.pid().unwrap_or_default();
            log::debug!("console: process {pid} of uid {} reads along", peer.uid());
        }
        let (asks, readers) = (asks.clone(), readers.clone());
        tokio::spawn(async move {
            readers.reading.fetch_add(1, Ordering::Relaxed);
            let count = match read_along(stream, &asks).await {
                End::Gone => None,
                End::Slow => Some(&readers.slow),
                End::Idle => Some(&readers.idle),
                End::Malformed => Some(&readers.malformed),
            };
            if let Some(count) = count {
                count.fetch_add(1, Ordering::Relaxed);
            }
            readers.reading.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }
}

/// One reader, until it is gone or dropped.
async fn read_along(stream: UnixStream, asks: &mpsc::Sender<Ask>) -> End {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut question = Vec::new();
    loop {
        question.clear();
        let mut bounded = (&mut read).take(LONGEST_REQUEST);
        match timeout(IDLE, bounded.read_until(b'\n', &mut question)).await {
            Err(_) => return End::Idle,
            Ok(Err(_) | Ok(0)) => return End::Gone,
            Ok(Ok(_)) if question.last() != Some(&b'\n') => return End::Malformed,
            Ok(Ok(_)) => {}
        }
        let begun = Instant::now();
        let (answer, end) = match understood(&question) {
            Ok(request) => match ask(asks, request).await {
                Some(answer) => (answer, None),
                None => return End::Gone,
            },
            Err(why) => (error(&why), Some(End::Malformed)),
        };
        let line = line(&answer);
        drop(answer);
        match timeout(SLOW, write.write_all(&line)).await {
            Err(_) => return End::Slow,
            Ok(Err(_)) => return End::Gone,
            Ok(Ok(())) => {}
        }
        if let Some(end) = end {
            return end;
        }
        sleep_until(begun + PACE).await;
    }
}

/// The sensor's answer; `None`: it ends.
async fn ask(asks: &mpsc::Sender<Ask>, request: Request) -> Option<Answer> {
    let (answer, answered) = oneshot::channel();
    asks.send(Ask { request, answer }).await.ok()?;
    match timeout(BUSY, answered).await {
        Ok(Ok(snapshot)) => Some(Answer::new(Body::Snapshot(Box::new(snapshot)))),
        Ok(Err(_)) => None,
        Err(_) => Some(error("the sensor is too busy to answer")),
    }
}

fn understood(line: &[u8]) -> Result<Request, String> {
    /// Of a request of any version.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice(line) {
        Ok(Version { version: VERSION }) => {}
        Ok(Version { version }) => {
            return Err(format!(
                "the reader speaks version {version} of the console's protocol, this sensor (release {}) version {VERSION}: use the `sensor` of that release",
                env!("CARGO_PKG_VERSION")
            ));
        }
        Err(error) => return Err(format!("this is no request: {error}")),
    }
    serde_json::from_slice(line).map_err(|error| format!("this is no request: {error}"))
}

fn error(why: &str) -> Answer {
    Answer::new(Body::Error(why.to_owned()))
}

fn line(answer: &Answer) -> Vec<u8> {
    let mut line = serde_json::to_vec(answer)
        .map_err(io::Error::from)
        .unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
