//! A client of MySQL's protocol that writes every packet by hand and does what few drivers do: cursors, results without descriptions
//! of their columns, an `EOF` where others agree on an `OK`, another user.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use crate::{clients::Endpoint, relay::Stream};

/// Capability: an `OK` ends results, and nothing the descriptions of columns.
pub const DEPRECATE_EOF: u32 = 1 << 24;
/// Capability: descriptions of columns may be left out.
pub const OPTIONAL_METADATA: u32 = 1 << 25;
/// Capability: query attributes.
pub const QUERY_ATTRIBUTES: u32 = 1 << 27;

/// Capabilities that any client has: a long password, a database, the protocol of 4.1 with transactions, proofs by named ways, several
/// statements and results.
const USUAL: u32 = 1 | 1 << 3 | 1 << 9 | 1 << 13 | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19;
/// How MySQL's users log in who were told nothing else.
const WAY: &[u8] = b"caching_sha2_password\0";
/// A character set: utf8mb4.
const CHARACTERS: u8 = 45;
/// Of a status: another result follows, or the rows are to be fetched, or all are.
const MORE: u16 = 8;
const CURSOR: u16 = 64;
const LAST: u16 = 128;

/// One connection, of a user without a password.
#[derive(Debug)]
pub struct Raw {
    stream: Stream,
    capabilities: u32,
    /// Number of the next packet.
    sequence: u8,
    /// Bytes written.
    pub sent: u64,
    /// Bytes read.
    pub received: u64,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Rows of all results.
    pub rows: u64,
    /// Rows written.
    pub written: u64,
    /// Results, and what has none.
    pub results: u64,
    /// Packets that described columns.
    pub described: u64,
    /// The last status.
    status: u16,
}

impl Raw {
    /// Logs in.
    ///
    /// # Panics
    /// When the server does not let the user in.
    pub fn login(endpoint: &Endpoint, user: &str, database: &str, capabilities: u32) -> Self {
        let stream = if endpoint.host.starts_with('/') {
            UnixStream::connect(&endpoint.host).map(Stream::Unix)
        } else {
            Stream::connect(endpoint)
        };
        let mut raw = Self {
            stream: stream.unwrap_or_else(|error| panic!("connect to {endpoint:?}: {error}")),
            capabilities: capabilities | USUAL,
            sequence: 0,
            sent: 0,
            received: 0,
        };
        assert_eq!(raw.packet()[0], 10, "a greeting");
        let mut answer = raw.capabilities.to_le_bytes().to_vec();
        answer.extend((16_u32 << 20).to_le_bytes());
        answer.push(CHARACTERS);
        answer.extend([0; 23]);
        answer.extend(user.as_bytes());
        // No proof.
        answer.extend([0, 0]);
        answer.extend(database.as_bytes());
        answer.push(0);
        answer.extend(WAY);
        raw.send(&answer);
        raw.admitted();
        raw
    }

    fn admitted(&mut self) {
        loop {
            let packet = self.packet();
            match packet[0] {
                0 => return,
                // Another way: still no proof.
                0xfe => self.send(&[]),
                _ => panic!("not let in: {}", String::from_utf8_lossy(&packet)),
            }
        }
    }

    /// Goes on as another user without a password.
    ///
    /// # Panics
    /// When the server does not let the user in.
    pub fn change_user(&mut self, user: &str, database: &str) {
        self.command(&change_user(user, database));
        self.admitted();
    }

    /// Sends a command; whether the server refuses it.
    pub fn is_refused(&mut self, command: &[u8]) -> bool {
        self.command(command);
        loop {
            match self.packet()[0] {
                0xff => return true,
                // Another way to log in: still no proof.
                0xfe => self.send(&[]),
                _ => return false,
            }
        }
    }

    /// Runs statements behind so many query attributes.
    ///
    /// # Panics
    /// When one fails.
    pub fn query(&mut self, text: &str, attributes: u8) -> Answer {
        let mut body = vec![3];
        if self.capabilities & QUERY_ATTRIBUTES != 0 {
            body.extend([attributes, 1]);
            if attributes > 0 {
                body.extend(vec![0; usize::from(attributes).div_ceil(8)]);
                body.push(1);
            }
            for _ in 0..attributes {
                body.extend(b"\xfe\0\x06source");
            }
            for _ in 0..attributes {
                body.extend(b"\x07a' OR 1");
            }
        }
        body.extend(text.as_bytes());
        self.command(&body);
        self.answer()
    }

    /// Prepares a statement without parameters; its number.
    ///
    /// # Panics
    /// When that fails.
    pub fn prepare(&mut self, text: &str) -> u32 {
        self.command(&[&[0x16], text.as_bytes()].concat());
        let first = self.packet();
        assert_eq!(first[0], 0, "{}", String::from_utf8_lossy(&first));
        let number = |at: usize| u16::from_le_bytes([first[at], first[at + 1]]);
        assert_eq!(number(7), 0, "parameters of {text}");
        let left_out = self.capabilities & OPTIONAL_METADATA != 0 && first[12] == 0;
        for _ in 0..if left_out { 0 } else { number(5) } {
            self.packet();
        }
        if number(5) > 0 && self.capabilities & DEPRECATE_EOF == 0 {
            self.packet();
        }
        u32::from_le_bytes([first[1], first[2], first[3], first[4]])
    }

    /// Executes one, with a cursor if its rows are to be fetched.
    ///
    /// # Panics
    /// When that fails.
    pub fn execute(&mut self, statement: u32, cursor: bool) -> Answer {
        let mut body = vec![0x17];
        body.extend(statement.to_le_bytes());
        body.push(u8::from(cursor));
        body.extend(1_u32.to_le_bytes());
        self.command(&body);
        self.answer()
    }

    /// Fetches so many rows; those that came, and whether there may be more.
    ///
    /// # Panics
    /// When that fails.
    pub fn fetch(&mut self, statement: u32, rows: u32) -> (u64, bool) {
        let mut body = vec![0x1c];
        body.extend(statement.to_le_bytes());
        body.extend(rows.to_le_bytes());
        self.command(&body);
        let mut answer = Answer::default();
        self.rows(&mut answer);
        (answer.rows, answer.status & LAST == 0)
    }

    /// Says goodbye.
    pub fn quit(mut self) {
        self.command(&[1]);
        // The server's end.
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("read");
        assert_eq!(rest, b"");
    }

    fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            let first = self.packet();
            answer.results += 1;
            match first[0] {
                0xff => panic!("{}", String::from_utf8_lossy(&first)),
                0 => {
                    let (affected, behind) = number(&first, 1);
                    let (_, behind) = number(&first, behind);
                    answer.written += affected;
                    answer.status = status(&first, behind);
                }
                _ => {
                    let (columns, behind) = number(&first, 0);
                    let left_out = first.get(behind) == Some(&0);
                    for _ in 0..if left_out { 0 } else { columns } {
                        self.packet();
                        answer.described += 1;
                    }
                    self.result(&mut answer);
                }
            }
            if answer.status & MORE == 0 {
                return answer;
            }
        }
    }

    /// What follows the descriptions.
    fn result(&mut self, answer: &mut Answer) {
        if self.capabilities & DEPRECATE_EOF == 0 {
            let end = self.packet();
            assert_eq!((end[0], end.len()), (0xfe, 5), "{end:?}");
            answer.status = status(&end, 3);
            if answer.status & CURSOR != 0 {
                return;
            }
        }
        self.rows(answer);
    }

    fn rows(&mut self, answer: &mut Answer) {
        loop {
            let row = self.packet();
            if row[0] == 0xff {
                panic!("{}", String::from_utf8_lossy(&row));
            }
            if row[0] == 0xfe && row.len() < 0xff_ffff {
                answer.status = if self.capabilities & DEPRECATE_EOF == 0 {
                    status(&row, 3)
                } else {
                    let (_, behind) = number(&row, 1);
                    let (_, behind) = number(&row, behind);
                    status(&row, behind)
                };
                return;
            }
            answer.rows += 1;
        }
    }

    fn command(&mut self, body: &[u8]) {
        self.sequence = 0;
        self.send(body);
    }

    fn send(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len()).expect("a short packet");
        let mut packet = length.to_le_bytes();
        packet[3] = self.sequence;
        let packet = [&packet[..], body].concat();
        self.sequence = self.sequence.wrapping_add(1);
        self.sent += packet.len() as u64;
        self.stream.write_all(&packet).expect("write");
    }

    fn packet(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).expect("read a header");
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("read a packet");
        self.sequence = header[3].wrapping_add(1);
        self.received += (length + 4) as u64;
        body
    }
}

/// A number of one to four bytes, and the position behind it.
fn number(packet: &[u8], at: usize) -> (u64, usize) {
    let bytes = |count: usize| {
        let bytes = packet[at + 1..=at + count].iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    match packet[at] {
        0xfc => (bytes(2), at + 3),
        0xfd => (bytes(3), at + 4),
        first => (first.into(), at + 1),
    }
}

fn status(packet: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([packet[at], packet[at + 1]])
}

/// The command that goes on as another user, who has no password.
pub fn change_user(user: &str, database: &str) -> Vec<u8> {
    let mut body = vec![0x11];
    body.extend(user.as_bytes());
    body.extend([0, 0]);
    body.extend(database.as_bytes());
    body.extend([0, CHARACTERS, 0]);
    body.extend(WAY);
    body
}
