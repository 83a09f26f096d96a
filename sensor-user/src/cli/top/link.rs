//! The way to a running sensor: its socket, and a thread that asks there again and again.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::console::protocol::{Answer, Body, Head, LONGEST_ANSWER, Request, Snapshot, VERSION};

/// How long the sensor may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to a sensor, made when it is needed.
#[derive(Debug)]
pub struct Link {
    path: PathBuf,
    stream: Option<BufReader<UnixStream>>,
}

impl Link {
    /// To the socket.
    pub fn new(path: PathBuf) -> Self {
        Self { path, stream: None }
    }

    /// Asks once.
    ///
    /// # Errors
    /// With what to do, when there is no sensor, it may not be asked, or it does not answer.
    pub fn ask(&mut self, request: &Request) -> Result<Snapshot> {
        let line = match self.exchange(request) {
            Ok(line) => line,
            Err(error) => {
                self.stream = None;
                return Err(error);
            }
        };
        let answer = understood(&line);
        if answer.is_err() {
            // It hangs up after an error.
            self.stream = None;
        }
        answer
    }

    fn exchange(&mut self, request: &Request) -> Result<Vec<u8>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream =
                    UnixStream::connect(&self.path).map_err(|error| refused(&self.path, &error))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                self.stream.insert(BufReader::new(stream))
            }
        };
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        // One that has no place for another reader says so and hangs up: read, whether this arrives or not.
        let written = stream.get_mut().write_all(&line);
        let mut answer = Vec::new();
        stream
            .take(LONGEST_ANSWER)
            .read_until(b'\n', &mut answer)
            .and(written)
            .or_else(|error| {
                if answer.last() == Some(&b'\n') {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .with_context(|| match fs::symlink_metadata(&self.path) {
                Ok(_) => format!("the sensor at {} does not answer", self.path.display()),
                Err(_) => "the sensor has ended".to_owned(),
            })?;
        if answer.last() != Some(&b'\n') {
            bail!("the sensor at {} hung up", self.path.display());
        }
        Ok(answer)
    }
}

/// Why there is no connection, and what to do.
fn refused(path: &Path, error: &io::Error) -> anyhow::Error {
    let place = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow!(
            "no sensor runs here: nothing answers at {place}; start one (`systemctl start data-access-sensor`, or `sudo sensor run`), or say where its socket is (--socket PATH)"
        ),
        io::ErrorKind::PermissionDenied => {
            let group = fs::metadata(path)
                .ok()
                .filter(|metadata| metadata.mode() & 0o020 != 0)
                .and_then(|metadata| nix::unistd::Group::from_gid(metadata.gid().into()).ok()?)
                .map_or_else(String::new, |group| {
                    format!(
                        ", or membership of the group {0} (`sudo usermod -aG {0} $USER`, then log in again)",
                        group.name
                    )
                });
            anyhow!("you may not read along at {place}: it takes root (`sudo sensor top`){group}")
        }
        _ => anyhow!("cannot connect to the sensor at {place}: {error}"),
    }
}

/// An answer of this version, or why it is none.
fn understood(line: &[u8]) -> Result<Snapshot> {
    let head: Head =
        serde_json::from_slice(line).context("what answers at the socket is no sensor")?;
    let answer: Result<Answer, _> = serde_json::from_slice(line);
    match answer {
        // In its words, which an older one knows as well.
        Ok(Answer {
            body: Body::Error(why),
            ..
        }) => bail!("the sensor says: {why}"),
        Ok(Answer {
            body: Body::Snapshot(snapshot),
            head,
        }) if head.version == VERSION => Ok(*snapshot),
        _ if head.version != VERSION => bail!(
            "the running sensor (release {}) speaks version {} of the console's protocol, this program (release {}) version {VERSION}: use the `sensor` of that release, or start the sensor again",
            head.release,
            head.version,
            env!("CARGO_PKG_VERSION")
        ),
        Ok(_) => bail!("the sensor's answer makes no sense"),
        Err(error) => Err(error).context("the sensor's answer makes no sense"),
    }
}

/// Asks again and again, so that the screen never waits.
#[derive(Debug)]
pub struct Watch {
    wanted: Sender<Request>,
    news: Receiver<Result<Snapshot, String>>,
}

impl Watch {
    /// Asks this from now on.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(link: Link, request: Request, interval: Duration) -> Result<Self> {
        let (wanted, requests) = channel();
        let (answers, news) = channel();
        std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || follow(link, request, &requests, &answers, interval))
            .context("cannot start a thread")?;
        Ok(Self { wanted, news })
    }

    /// Asks this instead, at once.
    pub fn want(&self, request: Request) {
        // The thread ends with this.
        let _ = self.wanted.send(request);
    }

    /// What has come since the last call.
    pub fn news(&self) -> Option<Result<Snapshot, String>> {
        self.news.try_recv().ok()
    }
}

fn follow(
    mut link: Link,
    mut request: Request,
    requests: &Receiver<Request>,
    answers: &Sender<Result<Snapshot, String>>,
    interval: Duration,
) {
    loop {
        match requests.recv_timeout(interval) {
            Ok(newer) => request = requests.try_iter().last().unwrap_or(newer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let news = link
            .ask(&request)
            .map_err(|error| format!("{error:#}; trying again"));
        if answers.send(news).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_named_with_its_release() {
        let line = br#"{"version":2,"release":"0.9.0","picture":{}}"#;
        let error = understood(line).expect_err("not understood").to_string();
        assert!(
            error.contains("release 0.9.0") && error.contains("version 2"),
            "{error}"
        );
        let line = br#"{"version":2,"release":"0.9.0","error":"speak version 2"}"#;
        let error = understood(line).expect_err("refused").to_string();
        assert_eq!(error, "the sensor says: speak version 2");
        let error = format!("{:#}", understood(b"220 smtp").expect_err("no sensor"));
        assert!(error.contains("is no sensor"), "{error}");
    }

    #[test]
    fn nobody_there_says_what_to_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut link = Link::new(folder.path().join("s.sock"));
        let error = link.ask(&Request::default()).expect_err("nobody");
        assert!(error.to_string().contains("no sensor runs here"), "{error}");
    }
}
