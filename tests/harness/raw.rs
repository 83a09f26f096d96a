//! A PostgreSQL client that builds every message by hand, and sends what no driver would.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use crate::{Volume, clients::Endpoint, patience, relay::Stream};

/// One connection.
#[derive(Debug)]
pub struct Raw {
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
    /// Bytes written.
    pub sent: u64,
    /// Bytes read.
    pub received: u64,
}

/// A backend message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Type.
    pub kind: u8,
    /// Body.
    pub body: Vec<u8>,
}

/// What a response was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// `DataRow` messages.
    pub rows: u64,
    /// `CopyData` messages.
    pub copied: u64,
    /// Tags of `CommandComplete`.
    pub tags: Vec<String>,
    /// SQLSTATEs of `ErrorResponse`.
    pub errors: Vec<String>,
    /// All types but `DataRow`, in order.
    pub kinds: String,
}

impl Answer {
    /// What it amounts to. A portal that is executed several times ends in one completion; one that is given up before
    /// has none and is to be added by hand.
    pub fn volume(&self) -> Volume {
        let written = |tag: &String| {
            let command = tag.split(' ').next().unwrap_or_default();
            let writes = match command {
                "INSERT" | "UPDATE" | "DELETE" | "MERGE" => true,
                "COPY" => self.kinds.contains('G'),
                _ => false,
            };
            let count = tag.rsplit(' ').next().and_then(|count| count.parse().ok());
            if writes { count.unwrap_or(0) } else { 0_u64 }
        };
        let of = |kind: char| self.kinds.matches(kind).count() as u64;
        Volume {
            queries: of('C') + of('E') + of('I') + of('V'),
            rows_returned: self.rows + self.copied,
            rows_written: self.tags.iter().map(written).sum(),
            ..Volume::default()
        }
    }
}

impl Raw {
    /// Connects, without a start-up packet.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect(endpoint: &Endpoint) -> Self {
        let stream = Stream::connect(endpoint)
            .unwrap_or_else(|error| panic!("connect to {endpoint:?}: {error}"));
        Self::over(stream)
    }

    fn over(stream: Stream) -> Self {
        stream.set_read_timeout(patience()).expect("set a timeout");
        Self {
            stream,
            buffer: Vec::new(),
            start: 0,
            sent: 0,
            received: 0,
        }
    }

    /// Connects and starts up.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn start(endpoint: &Endpoint, user: &str, database: &str) -> Self {
        let mut raw = Self::connect(endpoint);
        raw.send(&startup(&[("user", user), ("database", database)]));
        let answer = raw.answer();
        assert!(
            answer.errors.is_empty() && answer.kinds.ends_with('Z'),
            "start-up as {user} in {database}: expected ReadyForQuery, got {answer:?}"
        );
        raw
    }

    /// Connects and starts up, if the server is there.
    pub fn try_start(endpoint: &Endpoint, user: &str, database: &str) -> Option<Self> {
        let stream = Stream::connect(endpoint).ok()?;
        let mut raw = Self::over(stream);
        raw.try_send(&startup(&[("user", user), ("database", database)]))
            .ok()?;
        raw.answer().kinds.ends_with('Z').then_some(raw)
    }

    /// Writes all bytes at once.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("send");
    }

    /// Writes all bytes at once.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.sent += bytes.len() as u64;
        Ok(())
    }

    /// Writes the bytes in pieces of these sizes, over and over, with time for the server to read each by itself.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn send_in_pieces(&mut self, bytes: &[u8], sizes: &[usize]) {
        let mut sizes = sizes.iter().cycle();
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = sizes.next().map_or(1, |size| (*size).min(rest.len()));
            self.send(&rest[..size]);
            rest = &rest[size..];
            std::thread::sleep(Duration::from_micros(300));
        }
    }

    /// Reads more; false at the end of the stream.
    ///
    /// # Errors
    /// When nothing comes for long, or the connection is reset.
    pub fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 && self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 1 << 20 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let end = self.buffer.len();
        self.buffer.resize(end + 256 * 1024, 0);
        let result = self.stream.read(&mut self.buffer[end..]);
        let length = *result.as_ref().unwrap_or(&0);
        self.buffer.truncate(end + length);
        self.received += length as u64;
        result.map(|length| length > 0)
    }

    /// Header of the next message: type and length without the type byte. `None` at the end of the stream.
    fn header(&mut self) -> Option<(u8, usize)> {
        while self.buffer.len() - self.start < 5 {
            if !self.fill().unwrap_or(false) {
                return None;
            }
        }
        let header = &self.buffer[self.start..];
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        Some((header[0], length as usize))
    }

    /// The next message, `None` at the end of the stream.
    ///
    /// # Panics
    /// When a message is cut.
    pub fn message(&mut self) -> Option<Message> {
        let (kind, length) = self.header()?;
        while self.buffer.len() - self.start < length + 1 {
            if !self.fill().unwrap_or(false) {
                return None;
            }
        }
        let body = self.buffer[self.start + 5..self.start + 1 + length].to_vec();
        self.start += length + 1;
        Some(Message { kind, body })
    }

    /// Reads up to and including the next `ReadyForQuery`, or the end of the stream.
    pub fn answer(&mut self) -> Answer {
        self.answer_until(b'Z')
    }

    /// Reads up to and including the next message of a type, or the end of the stream.
    pub fn answer_until(&mut self, last: u8) -> Answer {
        let mut answer = Answer::default();
        while let Some((kind, length)) = self.header() {
            if kind == b'D' {
                answer.rows += 1;
                while self.buffer.len() - self.start < length + 1 {
                    if !self.fill().unwrap_or(false) {
                        return answer;
                    }
                }
                self.start += length + 1;
                continue;
            }
            let Some(message) = self.message() else {
                return answer;
            };
            answer.kinds.push(char::from(message.kind));
            match message.kind {
                b'C' => answer.tags.push(string(&message.body)),
                b'E' => answer.errors.push(field(&message.body, b'C')),
                b'd' => answer.copied += 1,
                _ => {}
            }
            if kind == last {
                return answer;
            }
        }
        answer
    }

    /// One answer after the other, as many as `count`.
    pub fn answers(&mut self, count: usize) -> Vec<Answer> {
        (0..count).map(|_| self.answer()).collect()
    }

    /// A simple query and its answer.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn query(&mut self, sql: &str) -> Answer {
        self.send(&query(sql));
        self.answer()
    }

    /// One byte, not part of any message (the answer to an `SSLRequest`).
    ///
    /// # Panics
    /// When none comes.
    pub fn byte(&mut self) -> u8 {
        while self.start == self.buffer.len() {
            assert!(
                self.fill().expect("read"),
                "expected a byte, got the end of the stream"
            );
        }
        self.start += 1;
        self.buffer[self.start - 1]
    }

    /// `Terminate`, then reads to the end, so that the server has read everything and all it sent is counted.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn terminate(mut self) -> (u64, u64) {
        self.send(&message(b'X', &[]));
        self.drain()
    }

    /// Ends the stream without `Terminate` and reads to the end.
    pub fn hang_up(mut self) -> (u64, u64) {
        self.stream.shutdown();
        self.drain()
    }

    fn drain(&mut self) -> (u64, u64) {
        while self.fill().unwrap_or(false) {
            self.start = self.buffer.len();
        }
        (self.received, self.sent)
    }
}

fn string(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// A field of an `ErrorResponse`.
fn field(body: &[u8], code: u8) -> String {
    body.split(|byte| *byte == 0)
        .find(|field| field.first() == Some(&code))
        .map(|field| string(&field[1..]))
        .unwrap_or_default()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes)
        .expect("a message below 4 GiB")
        .to_be_bytes()
}

/// A typed message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(length(body.len() + 4));
    bytes.extend(body);
    bytes
}

/// A start-up packet.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 0x0003_0000_u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(text(name));
        body.extend(text(value));
    }
    body.push(0);
    untyped(&body)
}

/// A packet of the start-up phase with a request code: SSL, GSS encryption.
pub fn request(code: u32) -> Vec<u8> {
    untyped(&code.to_be_bytes())
}

/// A `CancelRequest`.
pub fn cancel(process: u32, secret: u32) -> Vec<u8> {
    let mut body = 80_877_102_u32.to_be_bytes().to_vec();
    body.extend(process.to_be_bytes());
    body.extend(secret.to_be_bytes());
    untyped(&body)
}

fn untyped(body: &[u8]) -> Vec<u8> {
    let mut bytes = length(body.len() + 4).to_vec();
    bytes.extend(body);
    bytes
}

fn text(value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// `Query`.
pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &text(sql))
}

/// `Parse`.
pub fn parse(statement: &str, sql: &str) -> Vec<u8> {
    let mut body = text(statement);
    body.extend(text(sql));
    body.extend([0, 0]);
    message(b'P', &body)
}

/// `Bind` with text parameters.
pub fn bind(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let mut body = text(portal);
    body.extend(text(statement));
    body.extend([0, 0]);
    body.extend(u16::try_from(parameters.len()).expect("few").to_be_bytes());
    for parameter in parameters {
        body.extend(length(parameter.len()));
        body.extend(parameter.as_bytes());
    }
    body.extend([0, 0]);
    message(b'B', &body)
}

/// `Bind` without parameters whose results come in binary.
pub fn bind_binary(portal: &str, statement: &str) -> Vec<u8> {
    let mut body = text(portal);
    body.extend(text(statement));
    body.extend([0, 0, 0, 0, 0, 1, 0, 1]);
    message(b'B', &body)
}

/// Unnamed `Parse`, `Bind` and `Execute` without `Sync`.
pub fn extended(sql: &str, parameters: &[&str]) -> Vec<u8> {
    [parse("", sql), bind("", "", parameters), execute("", 0)].concat()
}

/// `Execute`; no limit is 0.
pub fn execute(portal: &str, limit: u32) -> Vec<u8> {
    let mut body = text(portal);
    body.extend(limit.to_be_bytes());
    message(b'E', &body)
}

/// `FunctionCall` with 4-byte integers, in binary.
pub fn function_call(function: u32, arguments: &[u32]) -> Vec<u8> {
    let count = u16::try_from(arguments.len()).expect("few").to_be_bytes();
    let mut body = function.to_be_bytes().to_vec();
    body.extend([0, 1, 0, 1]);
    body.extend(count);
    for argument in arguments {
        body.extend(length(4));
        body.extend(argument.to_be_bytes());
    }
    body.extend([0, 1]);
    message(b'F', &body)
}

/// `Describe` of a portal.
pub fn describe(portal: &str) -> Vec<u8> {
    let mut body = vec![b'P'];
    body.extend(text(portal));
    message(b'D', &body)
}

/// `Close` of a portal.
pub fn close(portal: &str) -> Vec<u8> {
    let mut body = vec![b'P'];
    body.extend(text(portal));
    message(b'C', &body)
}

/// `Sync`.
pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// `Flush`.
pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}
