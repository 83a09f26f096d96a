//! A client that has many commands under way at once, and reads what comes back by itself.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use anyhow::{Context as _, Result, bail};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status or a number.
    Said(String),
    /// A string.
    Text(String),
    /// None of either.
    Null,
    /// Several.
    Many(Vec<Reply>),
}

impl Reply {
    /// Elements that are there: rows, to the sensor.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Said(_) | Self::Null => 0,
            Self::Text(_) => 1,
            Self::Many(parts) => parts.iter().map(Self::leaves).sum(),
        }
    }

    fn leaves(&self) -> u64 {
        match self {
            Self::Said(_) | Self::Text(_) => 1,
            Self::Null => 0,
            Self::Many(parts) => parts.iter().map(Self::leaves).sum(),
        }
    }

    /// Its text, of a reply that is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Said(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A connection by the unix socket.
#[derive(Debug)]
pub struct Resp {
    stream: BufReader<UnixStream>,
    waiting: Vec<u8>,
}

impl Resp {
    /// Connects.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        Ok(Self {
            stream: BufReader::with_capacity(1 << 16, stream),
            waiting: Vec::new(),
        })
    }

    /// Adds a command to those that are sent with the next [`Resp::flush`].
    pub fn put(&mut self, command: &[&str]) {
        self.waiting
            .extend(format!("*{}\r\n", command.len()).into_bytes());
        for argument in command {
            self.waiting
                .extend(format!("${}\r\n{argument}\r\n", argument.len()).into_bytes());
        }
    }

    /// Sends them. Not more at once than the server's replies find room for, before anybody reads them.
    pub fn flush(&mut self) -> Result<()> {
        let sent = self.stream.get_mut().write_all(&self.waiting);
        self.waiting.clear();
        sent.context("the server ended the connection")
    }

    /// Sends one command and reads its reply.
    pub fn command(&mut self, command: &[&str]) -> Result<Reply> {
        self.put(command);
        self.flush()?;
        self.reply()
    }

    /// The next reply; an error where the server says one.
    pub fn reply(&mut self) -> Result<Reply> {
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .context("the server ended the connection")?;
        let line = line.trim_end();
        let Some((kind, text)) = line.split_at_checked(1) else {
            bail!("the server ended the connection");
        };
        let length = || {
            text.parse::<i64>()
                .map(|length| usize::try_from(length).ok())
        };
        Ok(match kind {
            "+" | ":" => Reply::Said(text.to_owned()),
            "$" => match length()? {
                Some(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream
                        .read_exact(&mut bytes)
                        .context("the server ended the connection")?;
                    bytes.truncate(length);
                    Reply::Text(String::from_utf8_lossy(&bytes).into_owned())
                }
                None => Reply::Null,
            },
            "*" => match length()? {
                Some(length) => {
                    Reply::Many((0..length).map(|_| self.reply()).collect::<Result<_>>()?)
                }
                None => Reply::Null,
            },
            _ => bail!("the server refuses a command: {line}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_rows() {
        let text = |text: &str| Reply::Text(text.to_owned());
        assert_eq!(Reply::Said("OK".to_owned()).rows(), 0);
        assert_eq!(text("value").rows(), 1);
        let many = Reply::Many(vec![text("a"), Reply::Null, Reply::Said("7".to_owned())]);
        assert_eq!(many.rows(), 2);
    }
}
