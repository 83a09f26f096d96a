//! A client of Redis's protocol that reads it itself, and counts by the rules that the sensor is held to.
//!
//! A reply that is a string counts one row, a status, a number, an error and a null none; of a reply that is an array, a set
//! or a map, each leaf that is no null and no error is a row. The cursor in front of what the SCAN family returns is none; each element
//! of an EXEC's reply counts as a reply of its own; of a script's any status but `OK` is a row, and each error in an array. A message that a subscriber is sent, and a line of MONITOR, is a
//! query and a row.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
};

use crate::{clients::Endpoint, relay::Stream};

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+`
    Status(String),
    /// `-`, `!`
    Error(String),
    /// `:`, and `#`, which the second version sends as one.
    Integer(i64),
    /// `$`, `=`
    Text(Vec<u8>),
    /// `,`, `(`: numbers that the second version sends as text.
    Other(String),
    /// `_`, and absent strings and arrays of the second version.
    Null,
    /// `*`, `~`, and `%` with its keys and values in turn.
    Many(Vec<Reply>),
    /// `>`: nobody asked for it.
    Push(Vec<Reply>),
}

/// Commands whose replies say something of the server, and are no rows.
const QUIET: [&str; 20] = [
    "PING", "ECHO", "TIME", "INFO", "ROLE", "LOLWUT", "LASTSAVE", "CONFIG", "COMMAND", "CLUSTER",
    "LATENCY", "MODULE", "PUBSUB", "SCRIPT", "ACL", "CLIENT", "HELLO", "AUTH", "SELECT", "WAIT",
];

impl Reply {
    /// Rows, by the rules above, of a reply to a command.
    pub fn rows(&self, command: &str) -> u64 {
        if QUIET.contains(&command) {
            return 0;
        }
        let is_script = matches!(
            command,
            "EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO" | "FCALL"
        );
        match self {
            // A script can put data into any of these.
            Self::Many(parts) if is_script => parts.iter().map(Self::of_script).sum(),
            Self::Status(text) if is_script => u64::from(text != "OK"),
            Self::Many(parts) => match command {
                "EXEC" => parts.iter().map(|part| part.rows("")).sum(),
                "SCAN" | "HSCAN" | "SSCAN" | "ZSCAN" => parts[1..].iter().map(Self::leaves).sum(),
                _ => self.leaves(),
            },
            Self::Text(_) | Self::Other(_) => 1,
            _ => 0,
        }
    }

    fn of_script(&self) -> u64 {
        match self {
            Self::Error(_) => 1,
            Self::Many(parts) | Self::Push(parts) => parts.iter().map(Self::of_script).sum(),
            _ => self.leaves(),
        }
    }

    fn leaves(&self) -> u64 {
        match self {
            Self::Null | Self::Error(_) => 0,
            Self::Many(parts) | Self::Push(parts) => parts.iter().map(Self::leaves).sum(),
            _ => 1,
        }
    }

    /// As text, for what is one.
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) | Self::Error(text) | Self::Other(text) => text.clone(),
            Self::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Integer(number) => number.to_string(),
            _ => String::new(),
        }
    }
}

/// Queries and rows by command.
pub type Tally = BTreeMap<String, (u64, u64)>;

/// A connection.
#[derive(Debug)]
pub struct Resp {
    stream: BufReader<Stream>,
    /// Commands without a reply so far, their names in capitals.
    asked: VecDeque<String>,
    /// What it counted.
    pub tally: Tally,
}

impl Resp {
    /// Connects, as nobody.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect(endpoint: &Endpoint) -> Self {
        let stream = if endpoint.host.starts_with('/') {
            Stream::Unix(UnixStream::connect(&endpoint.host).expect("connect"))
        } else {
            let stream =
                TcpStream::connect((endpoint.host.as_str(), endpoint.port)).expect("connect");
            stream.set_nodelay(true).expect("no delay");
            Stream::Tcp(stream)
        };
        Self {
            stream: BufReader::with_capacity(1 << 16, stream),
            asked: VecDeque::new(),
            tally: Tally::new(),
        }
    }

    /// Connects and logs in; what the log-in itself takes is not in the tally.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn login(endpoint: &Endpoint, user: &str) -> Self {
        let mut client = Self::connect(endpoint);
        let reply = client.command(&["AUTH", user, &crate::redis::password(user)]);
        assert_eq!(reply, Reply::Status("OK".to_owned()));
        client.tally.clear();
        client
    }

    /// Sends a command and reads its reply.
    ///
    /// # Panics
    /// When the connection ends.
    pub fn command(&mut self, command: &[&str]) -> Reply {
        self.send(&[command]);
        self.reply()
    }

    /// Sends commands by one write.
    ///
    /// # Panics
    /// When the connection ends.
    pub fn send(&mut self, commands: &[&[&str]]) {
        let mut bytes = Vec::new();
        for command in commands {
            bytes.extend(encoded(command));
            self.ask(command[0]);
        }
        self.write(&bytes);
    }

    /// Notes that a reply to this command is to come.
    pub fn ask(&mut self, command: &str) {
        let command = command.to_uppercase();
        self.tally.entry(command.clone()).or_default().0 += 1;
        self.asked.push_back(command);
    }

    /// A command that gets no reply.
    pub fn ask_in_vain(&mut self, command: &[&str]) {
        self.write(&encoded(command));
        self.tally.entry(command[0].to_uppercase()).or_default().0 += 1;
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// When the connection ends.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("send");
    }

    /// The next reply, to the first command that has none yet.
    ///
    /// # Panics
    /// When the connection ends.
    pub fn reply(&mut self) -> Reply {
        let reply = self.read().expect("a reply");
        let command = self.asked.pop_front().expect("something was asked");
        self.tally.entry(command.clone()).or_default().1 += reply.rows(&command);
        reply
    }

    /// What nobody asked for: a message, or a line of MONITOR; a query and a row of the command that subscribed to it.
    ///
    /// # Panics
    /// When the connection ends.
    pub fn message(&mut self, of: &str) -> Reply {
        let message = self.read().expect("a message");
        let entry = self.tally.entry(of.to_owned()).or_default();
        *entry = (entry.0 + 1, entry.1 + 1);
        message
    }

    /// The next of either kind, uncounted.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn read(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\r\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let kind = line[0];
        let text = String::from_utf8_lossy(&line[1..line.len() - 2]).into_owned();
        let length = || text.parse::<i64>().expect("a length");
        Ok(match kind {
            b'+' => Reply::Status(text),
            b'-' => Reply::Error(text),
            b':' => Reply::Integer(length()),
            b'#' => Reply::Integer(i64::from(text == "t")),
            b',' | b'(' => Reply::Other(text),
            b'_' => Reply::Null,
            b'$' | b'=' | b'!' => match usize::try_from(length()) {
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    if kind == b'!' {
                        Reply::Error(String::from_utf8_lossy(&bytes).into_owned())
                    } else {
                        Reply::Text(bytes)
                    }
                }
                Err(_) => Reply::Null,
            },
            b'*' | b'~' | b'>' | b'%' | b'|' => match usize::try_from(length()) {
                Ok(length) => {
                    let length = if matches!(kind, b'%' | b'|') {
                        2 * length
                    } else {
                        length
                    };
                    let parts = (0..length)
                        .map(|_| self.read())
                        .collect::<io::Result<_>>()?;
                    match kind {
                        // What is said about the reply that follows.
                        b'|' => self.read()?,
                        b'>' => Reply::Push(parts),
                        _ => Reply::Many(parts),
                    }
                }
                Err(_) => Reply::Null,
            },
            _ => panic!("no reply: {:?}", String::from_utf8_lossy(&line)),
        })
    }
}

/// A command as clients send it.
pub fn encoded(command: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for argument in command {
        bytes.extend(format!("${}\r\n{argument}\r\n", argument.len()).into_bytes());
    }
    bytes
}
