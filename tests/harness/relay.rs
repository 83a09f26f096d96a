//! A relay that counts: clients connect through it, so that what crossed the wire is known without asking either end.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use tempfile::TempDir;

use crate::clients::Endpoint;

/// A relay in front of one server endpoint.
#[derive(Debug)]
pub struct Relay {
    endpoint: Endpoint,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
    _directory: Option<TempDir>,
}

#[derive(Debug, Default)]
struct Counters {
    to_client: AtomicU64,
    to_server: AtomicU64,
    pumps: Mutex<Vec<JoinHandle<()>>>,
}

/// Either kind of stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Relay {
    /// Starts a relay of the same kind (unix, IPv4 or IPv6) as the server's endpoint.
    ///
    /// # Panics
    /// When it can't listen.
    pub fn start(server: &Endpoint) -> Self {
        let (listener, endpoint, directory) = if server.is_unix() {
            let directory = tempfile::Builder::new()
                .prefix("dst-relay-")
                .tempdir_in("/tmp")
                .expect("temporary directory");
            let endpoint = Endpoint {
                host: directory.path().to_string_lossy().into_owned(),
                port: server.port,
            };
            let listener = UnixListener::bind(endpoint.socket_path()).expect("bind");
            (Listener::Unix(listener), endpoint, Some(directory))
        } else {
            let listener = TcpListener::bind((server.host.as_str(), 0)).expect("bind");
            let endpoint = Endpoint {
                host: server.host.clone(),
                port: listener.local_addr().expect("address").port(),
            };
            (Listener::Tcp(listener), endpoint, None)
        };
        let counters = Arc::new(Counters::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (counting, stopping, server) = (counters.clone(), stop.clone(), server.clone());
        let acceptor = std::thread::spawn(move || {
            while let Ok(client) = listener.accept() {
                if stopping.load(Ordering::Relaxed) {
                    break;
                }
                if let Ok(server) = Stream::connect(&server) {
                    counting.pump(client, server);
                }
            }
        });
        Self {
            endpoint,
            counters,
            stop,
            acceptor: Some(acceptor),
            _directory: directory,
        }
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits until all connections are over; bytes to the client and to the server.
    ///
    /// # Panics
    /// When a pump did.
    pub fn finish(mut self) -> (u64, u64) {
        self.end();
        let pumps = std::mem::take(&mut *self.counters.pumps.lock().expect("pumps"));
        for pump in pumps {
            pump.join().expect("a pump");
        }
        (
            self.counters.to_client.load(Ordering::Relaxed),
            self.counters.to_server.load(Ordering::Relaxed),
        )
    }

    fn end(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            self.stop.store(true, Ordering::Relaxed);
            // Wakes the acceptor.
            drop(Stream::connect(&self.endpoint));
            acceptor.join().ok();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

impl Counters {
    fn pump(self: &Arc<Self>, client: Stream, server: Stream) {
        let Ok(ends) = client
            .duplicate()
            .and_then(|c| Ok((c, server.duplicate()?)))
        else {
            return;
        };
        let (up, down) = (self.clone(), self.clone());
        let threads = [
            std::thread::spawn(move || copy(client, server, &up.to_server)),
            std::thread::spawn(move || copy(ends.1, ends.0, &down.to_client)),
        ];
        self.pumps.lock().expect("pumps").extend(threads);
    }
}

/// Copies until the end of `from`, and says so to `to`.
fn copy(mut from: Stream, mut to: Stream, counter: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    let mut writable = true;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        // What the server has sent counts even when the client is gone, and the other way round.
        counter.fetch_add(length as u64, Ordering::Relaxed);
        writable = writable && to.write_all(&buffer[..length]).is_ok();
    }
    to.shutdown();
}

impl Listener {
    fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            Self::Unix(listener) => Stream::Unix(listener.accept()?.0),
        })
    }
}

impl Stream {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        if endpoint.is_unix() {
            return Ok(Self::Unix(UnixStream::connect(endpoint.socket_path())?));
        }
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// A second handle of the same stream.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    /// No more writes. The other end may already be gone.
    pub fn shutdown(&self) {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write).ok(),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write).ok(),
        };
    }

    /// Gives up reading after a while.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn set_read_timeout(&self, timeout: std::time::Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buffer),
            Self::Unix(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Endpoint {
    /// Is it a unix socket's directory?
    pub fn is_unix(&self) -> bool {
        self.host.starts_with('/')
    }

    /// The unix socket, by PostgreSQL's naming.
    pub fn socket_path(&self) -> PathBuf {
        Path::new(&self.host).join(format!(".s.PGSQL.{}", self.port))
    }
}
