//! From the ring's bytes to typed observations. No attribution here: bytes in, observations out.

use std::fmt;

use sensor_ebpf::{
    connection::Protocol,
    record::{
        CertificateRecord, CloseRecord, ExitRecord, KeysRecord, LinkRecord, LocalClientRecord,
        OpenRecord, PhaseRecord, ProgressRecord, RecordHeader, RecordKind, StatementRecord,
        TEXT_PLAIN, TEXT_TRUNCATED, TextHeader,
    },
};

use crate::sql::Language;

mod clock;

pub use clock::Clock;

/// One record of the kernel side.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A server-side connection seen for the first time.
    Opened(OpenRecord),
    /// What its client says of itself.
    Startup {
        /// Connection.
        connection: u64,
        /// A [`sensor_ebpf::record::StartupKind`].
        kind: u8,
        /// What that is made of.
        parameters: &'a [u8],
        /// More parameters followed than were captured.
        truncated: bool,
    },
    /// The text behind a fingerprint.
    Text {
        /// Connection that it was first seen on.
        connection: u64,
        /// Fingerprint.
        fingerprint: u64,
        /// The statement.
        text: &'a [u8],
        /// The text goes on.
        truncated: bool,
        /// In which language it is written.
        language: Language,
    },
    /// A statement ended, or bytes outside of any.
    Statement(StatementRecord),
    /// A statement streams.
    Progress(ProgressRecord),
    /// Another phase, or bytes of one that is not parsed.
    Phase(PhaseRecord),
    /// A connection ended.
    Closed(CloseRecord),
    /// A server process ended.
    ProcessExited(ExitRecord),
    /// A server process began.
    ProcessExecuted(ExitRecord),
    /// A key by which a statement picks its rows.
    Keys(KeysRecord),
    /// To which of the application's traces an execution belongs.
    Link {
        /// Connection.
        connection: u64,
        /// The record of its end has this number, too.
        number: u8,
        /// Fingerprint.
        fingerprint: u64,
        /// A traceparent, and a byte behind it.
        traceparent: [u8; 56],
    },
    /// A local process talks to a watched server.
    LocalClient(LocalClientRecord),
    /// The certificate that a client has shown, and the server verified.
    Certificate {
        /// Connection.
        connection: u64,
        /// Its common name.
        name: &'a [u8],
        /// The name goes on.
        truncated: bool,
    },
}

/// A record that makes no sense: kernel and user half are not of one build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Its kind byte.
    pub kind: u8,
    /// Its length.
    pub length: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record of kind {} with {} bytes", self.kind, self.length)
    }
}

/// Shared records: integers only, so that any bytes are a valid value.
///
/// # Safety
/// Implementors are `repr(C)` and made of integers and arrays of integers.
unsafe trait Shared: Copy {}

macro_rules! shared {
    ($($record:ty),* $(,)?) => {
        $(
            // SAFETY: see its definition: `repr(C)`, integers only.
            unsafe impl Shared for $record {}
        )*
    };
}

shared! {
    CertificateRecord, CloseRecord, ExitRecord, KeysRecord, LinkRecord, LocalClientRecord, OpenRecord, PhaseRecord,
    ProgressRecord, RecordHeader, StatementRecord, TextHeader,
}

fn read<T: Shared>(bytes: &[u8]) -> Option<T> {
    (bytes.len() >= size_of::<T>()).then(|| {
        // SAFETY: the length was checked, any bytes are a valid `T`, and the read is unaligned.
        unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
    })
}

/// Decodes one record.
///
/// # Errors
/// When kind or length are not those of any record.
pub fn decode(bytes: &[u8]) -> Result<Observation<'_>, Malformed> {
    let malformed = Malformed {
        kind: bytes.first().copied().unwrap_or(0),
        length: bytes.len(),
    };
    decode_known(bytes).ok_or(malformed)
}

fn decode_known(bytes: &[u8]) -> Option<Observation<'_>> {
    let kind = *bytes.first()?;
    Some(match kind {
        k if k == RecordKind::Statement as u8 => Observation::Statement(read(bytes)?),
        k if k == RecordKind::Progress as u8 => Observation::Progress(read(bytes)?),
        k if k == RecordKind::Text as u8 || k == RecordKind::Startup as u8 => {
            let header: TextHeader = read(bytes)?;
            let rest = &bytes[size_of::<TextHeader>()..];
            let text = rest.get(..header.header.detail as usize)?;
            let truncated = header.header.flags & TEXT_TRUNCATED != 0;
            if k == RecordKind::Text as u8 {
                Observation::Text {
                    connection: header.header.connection,
                    fingerprint: header.fingerprint,
                    text,
                    truncated,
                    language: language(header.header.tag),
                }
            } else {
                Observation::Startup {
                    connection: header.header.connection,
                    kind: header.header.tag,
                    parameters: text,
                    truncated,
                }
            }
        }
        k if k == RecordKind::Open as u8 => Observation::Opened(read(bytes)?),
        k if k == RecordKind::Close as u8 => Observation::Closed(read(bytes)?),
        k if k == RecordKind::Phase as u8 => Observation::Phase(read(bytes)?),
        k if k == RecordKind::ProcessExit as u8 => Observation::ProcessExited(read(bytes)?),
        k if k == RecordKind::ProcessExec as u8 => Observation::ProcessExecuted(read(bytes)?),
        k if k == RecordKind::Keys as u8 => Observation::Keys(read(bytes)?),
        k if k == RecordKind::Link as u8 => {
            let record: LinkRecord = read(bytes)?;
            let mut traceparent = [0; 56];
            for (bytes, word) in traceparent.chunks_exact_mut(8).zip(record.traceparent) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            Observation::Link {
                connection: record.header.connection,
                number: record.header.link,
                fingerprint: record.fingerprint,
                traceparent,
            }
        }
        k if k == RecordKind::LocalClient as u8 => Observation::LocalClient(read(bytes)?),
        k if k == RecordKind::Certificate as u8 => {
            let CertificateRecord { header, .. } = read(bytes)?;
            let name = bytes.get(size_of::<RecordHeader>()..size_of::<CertificateRecord>())?;
            Observation::Certificate {
                connection: header.connection,
                name: name.get(..header.detail as usize)?,
                truncated: header.flags & TEXT_TRUNCATED != 0,
            }
        }
        _ => return None,
    })
}

/// The language of a text with this tag.
fn language(tag: u8) -> Language {
    if tag & !TEXT_PLAIN == Protocol::MySql as u8 {
        Language::MySql {
            plain: tag & TEXT_PLAIN != 0,
        }
    } else if tag == Protocol::Redis as u8 {
        Language::Redis
    } else {
        Language::Postgres
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<T: Shared>(value: &T) -> Vec<u8> {
        // SAFETY: `Shared` types are plain integers without padding.
        unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
        }
        .to_vec()
    }

    #[test]
    fn decodes_what_the_kernel_writes() {
        let record = StatementRecord {
            header: RecordHeader {
                kind: RecordKind::Statement as u8,
                connection: 7,
                ..RecordHeader::default()
            },
            rows_returned: -3,
            ..StatementRecord::default()
        };
        let bytes = bytes_of(&record);
        let Ok(Observation::Statement(decoded)) = decode(&bytes) else {
            panic!("not a statement");
        };
        assert_eq!(decoded.header.connection, 7);
        assert_eq!(decoded.rows_returned, -3);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(decode(&[]).is_err());
        assert!(decode(&[99; 200]).is_err());
        assert!(decode(&[RecordKind::Statement as u8; 10]).is_err());
        // A text that claims to be longer than its record.
        let header = TextHeader {
            header: RecordHeader {
                kind: RecordKind::Text as u8,
                detail: 100,
                ..RecordHeader::default()
            },
            fingerprint: 1,
        };
        let mut bytes = bytes_of(&header);
        bytes.extend(b"short");
        assert!(decode(&bytes).is_err());
    }
}
