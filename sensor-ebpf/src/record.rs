//! Records that leave the kernel through the ring, and counters that userspace reads from maps.
//!
//! Every record begins with a [`RecordHeader`]. All are `repr(C)`, 8-byte aligned, little padding, and their sizes are
//! asserted: the ring carries raw memory. Layout changes need no version, since the object is embedded in the binary.

/// What a record is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// [`OpenRecord`].
    Open = 1,
    /// [`TextHeader`] and what a client says of itself: see [`StartupKind`].
    Startup = 2,
    /// [`TextHeader`] and statement text.
    Text = 3,
    /// [`StatementRecord`].
    Statement = 4,
    /// [`ProgressRecord`].
    Progress = 5,
    /// [`CloseRecord`].
    Close = 6,
    /// [`PhaseRecord`].
    Phase = 7,
    /// [`ExitRecord`].
    ProcessExit = 8,
    /// [`ExitRecord`]: a process of a watched command name began to execute.
    ProcessExec = 9,
    /// [`LocalClientRecord`].
    LocalClient = 10,
    /// [`KeysRecord`].
    Keys = 11,
    /// [`LinkRecord`].
    Link = 12,
    /// [`CertificateRecord`].
    Certificate = 13,
}

/// First 16 bytes of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordHeader {
    /// A [`RecordKind`].
    pub kind: u8,
    /// Meaning depends on the kind.
    pub flags: u8,
    /// Meaning depends on the kind.
    pub tag: u8,
    /// Number of a [`LinkRecord`] among those of its connection, and of the [`StatementRecord`] that it belongs to; zero
    /// without one.
    pub link: u8,
    /// Bytes that follow a [`TextHeader`]; the packed code of a [`StatementRecord`] that failed ([`crate::sqlstate`]); of a
    /// [`ProgressRecord`], the position of the statement in its text, from zero; zero for other records.
    pub detail: u32,
    /// Connection number (socket cookie); zero for process records.
    pub connection: u64,
}

/// Address family of [`OpenRecord::family`]: unix socket.
pub const FAMILY_UNIX: u16 = 1;
/// Address family of [`OpenRecord::family`]: IPv4.
pub const FAMILY_INET: u16 = 2;
/// Address family of [`OpenRecord::family`]: IPv6.
pub const FAMILY_INET6: u16 = 10;

/// What the bytes of a [`RecordKind::Startup`] are.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupKind {
    /// PostgreSQL's start-up packet: parameters, without length and version.
    Postgres = 0,
    /// MySQL's handshake response, without the packet's header.
    MySql = 1,
    /// MySQL's `COM_CHANGE_USER`, without the packet's header and the command.
    MySqlChangeUser = 2,
    /// A name that a client of Redis gives, see `protocol::redis::names`.
    Redis = 3,
    /// MySQL's server has refused the last `COM_CHANGE_USER`, and goes on with the user before. No bytes.
    MySqlRefused = 4,
    /// MySQL's stream made no sense for a while, in which the user may have been changed. No bytes.
    MySqlUnknown = 5,
}

/// A server-side connection seen for the first time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenRecord {
    /// `flags`: [`OPEN_PREEXISTING`]; `tag`: a [`crate::connection::Protocol`].
    pub header: RecordHeader,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// Process (tgid) that serves the connection.
    pub server_pid: u32,
    /// Its parent: the postmaster.
    pub server_parent: u32,
    /// Address family, `FAMILY_*`.
    pub family: u16,
    /// Local (server) port in host order.
    pub local_port: u16,
    /// Remote (client) port in host order.
    pub remote_port: u16,
    /// Reserved.
    pub pad: u16,
    /// Local address in network order; IPv4 in the first four bytes.
    pub local_address: [u8; 16],
    /// Remote address, likewise.
    pub remote_address: [u8; 16],
    /// Effective uid of the peer of a unix socket (`sk_peer_cred`), `u32::MAX` when unknown.
    pub peer_uid: u32,
    /// Pid of the peer of a unix socket (`sk_peer_pid`), zero when unknown.
    pub peer_pid: u32,
    /// Network namespace inode.
    pub netns: u32,
    /// TCP's number of the first byte from the client that was seen, or of the next, when the server was seen to send first.
    pub sequence: u32,
    /// The client's end of a unix socket, see [`LocalClientRecord::socket`]; zero otherwise.
    pub peer_socket: u64,
    /// Its cookie, zero when it has none yet.
    pub peer_cookie: u64,
}

/// [`OpenRecord`]: first seen in the middle, not from its first byte.
pub const OPEN_PREEXISTING: u8 = 1;

/// Header of [`RecordKind::Startup`] and [`RecordKind::Text`]; `header.detail` bytes follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TextHeader {
    /// `flags`: [`TEXT_TRUNCATED`]; `tag`: a [`StartupKind`], or the [`crate::connection::Protocol`] of a text.
    pub header: RecordHeader,
    /// Fingerprint of the text, zero for start-up packets.
    pub fingerprint: u64,
}

/// [`TextHeader`]: the text was longer than what is captured.
pub const TEXT_TRUNCATED: u8 = 1;

/// [`TextHeader`], in the tag of a text beside its protocol: a backslash in a literal is no escape.
pub const TEXT_PLAIN: u8 = 0x80;

/// Value in the map of known fingerprints: its text leaves with every execution, because what matters of it (the file that
/// a `COPY` writes) is a literal, which no fingerprint sees. Other values: the tick of the first text.
pub const ALWAYS: u64 = 0;

/// A statement that ended, or bytes outside of any statement ([`STATEMENT_OVERHEAD`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct StatementRecord {
    /// `flags`: `STATEMENT_*`; `tag`: a [`CommandTag`]; `link`, `detail`: see there.
    pub header: RecordHeader,
    /// Fingerprint, zero when there is no statement or it is unknown.
    pub fingerprint: u64,
    /// Rows returned to the client, less those that earlier [`ProgressRecord`]s of this statement reported as exact.
    pub rows_returned: i64,
    /// Rows written.
    pub rows_written: u64,
    /// Bytes sent to the client and in no earlier record.
    pub bytes_sent: u64,
    /// Bytes received from the client and in no earlier record.
    pub bytes_received: u64,
    /// `CLOCK_MONOTONIC` nanoseconds: request seen; of several statements the first's.
    pub started: u64,
    /// `CLOCK_MONOTONIC` nanoseconds: end of the response seen; of several the last's, as of the last tick.
    pub ended: u64,
    /// Statements that this record closes: one, zero for bytes that follow up, more when equal ones were put together.
    pub queries: u32,
    /// Position of the statement in its simple-query message, from zero.
    pub ordinal: u32,
    /// Of several statements: most rows that one returned and wrote. Zero otherwise.
    pub largest_rows: u32,
    /// Of several statements: most bytes that one sent. Zero otherwise.
    pub largest_bytes: u32,
}

/// [`StatementRecord`]: ended in an error.
pub const STATEMENT_FAILED: u8 = 1;
/// [`StatementRecord`]: `rows_returned` holds an estimate beyond what was counted (the exact count never came).
pub const STATEMENT_ESTIMATED: u8 = 2;
/// [`StatementRecord`]: bytes outside any statement.
pub const STATEMENT_OVERHEAD: u8 = 4;
/// [`StatementRecord`]: corrects an end that turned out to be data that looked like one; `queries` is zero.
pub const STATEMENT_CORRECTION: u8 = 8;
/// [`StatementRecord`]: the text is longer than what is hashed.
pub const STATEMENT_TRUNCATED: u8 = 16;
/// [`StatementRecord`]: a portal suspended by its row limit.
pub const STATEMENT_SUSPENDED: u8 = 32;
/// [`StatementRecord`]: `COPY` whose data did not cross the socket.
pub const STATEMENT_SERVER_SIDE_COPY: u8 = 64;

/// Command of a `CommandComplete` message.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CommandTag {
    /// A command without a row count.
    #[default]
    Other = 0,
    /// `SELECT n` (also `CREATE TABLE AS`).
    Select = 1,
    /// `INSERT oid n`.
    Insert = 2,
    /// `UPDATE n`.
    Update = 3,
    /// `DELETE n`.
    Delete = 4,
    /// `MERGE n`.
    Merge = 5,
    /// `FETCH n`.
    Fetch = 6,
    /// `MOVE n`.
    Move = 7,
    /// `COPY n`.
    Copy = 8,
    /// A portal suspended by its row limit: no tag.
    Suspended = 9,
    /// An empty query.
    Empty = 10,
    /// `BEGIN` or `COMMIT`.
    Transaction = 11,
    /// `SET`.
    Set = 12,
}

/// A statement that is still streaming.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgressRecord {
    /// Header.
    pub header: RecordHeader,
    /// Fingerprint.
    pub fingerprint: u64,
    /// Rows counted exactly since the last record of this statement.
    pub rows_exact: u64,
    /// Estimate of the rows so far that no exact count covers (replaces the previous estimate).
    pub rows_estimated: u64,
    /// Bytes sent since the last record.
    pub bytes_sent: u64,
    /// Bytes received since the last record (COPY in).
    pub bytes_received: u64,
    /// `CLOCK_MONOTONIC` nanoseconds: request seen.
    pub started: u64,
    /// `CLOCK_MONOTONIC` nanoseconds: now.
    pub time: u64,
}

/// The connection ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct CloseRecord {
    /// Header.
    pub header: RecordHeader,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// All bytes seen, server to client.
    pub seen_sent: u64,
    /// All bytes seen, client to server.
    pub seen_received: u64,
    /// What the TCP socket itself counted since it was first seen, modulo 2^32; equals `seen_sent` there
    /// when nothing was missed. Zero on unix sockets, which keep no count.
    pub socket_sent: u32,
    /// Likewise for the other direction.
    pub socket_received: u32,
}

/// The connection entered another phase, or bytes passed in a phase that is not parsed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PhaseRecord {
    /// `tag`: a [`crate::connection::Phase`].
    pub header: RecordHeader,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// Bytes sent in this phase and in no earlier record.
    pub bytes_sent: u64,
    /// Bytes received, likewise.
    pub bytes_received: u64,
}

/// A watched server process ended, or one began.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ExitRecord {
    /// Header; `connection` is zero.
    pub header: RecordHeader,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// Process (tgid).
    pub pid: u32,
    /// Reserved.
    pub pad: u32,
}

/// A process of this host that talks to a watched server, or at least to its port: the client's end of a local connection.
/// Comes again when another process goes on with the socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalClientRecord {
    /// Header; `connection` is zero.
    pub header: RecordHeader,
    /// Address of the client's `struct sock`: ties a unix socket's two ends together while both live.
    pub socket: u64,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// Process (tgid).
    pub pid: u32,
    /// Real uid.
    pub uid: u32,
    /// Audit login uid, `u32::MAX` when unset.
    pub login_uid: u32,
    /// Audit session, `u32::MAX` when unset.
    pub audit_session: u32,
    /// Address family, `FAMILY_*`.
    pub family: u16,
    /// Local (client) port.
    pub local_port: u16,
    /// Remote (server) port.
    pub remote_port: u16,
    /// Reserved.
    pub pad: u16,
    /// Network namespace inode.
    pub netns: u32,
    /// TCP's number of the first byte that was seen to be sent: the server's end knows it, too, whatever namespaces and
    /// translations of addresses lie between.
    pub sequence: u32,
    /// Local address.
    pub local_address: [u8; 16],
    /// Remote address.
    pub remote_address: [u8; 16],
    /// Command name, NUL padded.
    pub command: [u8; 16],
    /// Cookie of the socket.
    pub cookie: u64,
    /// `CLOCK_MONOTONIC` nanoseconds at which the process began: its number may be another's later.
    pub began: u64,
}

/// One key by which a statement picks its rows; comes before the statement's own record. See [`crate::picked`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct KeysRecord {
    /// `flags`: `KEYS_*`; `tag`: how many times in a row such keys rose, or fell.
    pub header: RecordHeader,
    /// Statement.
    pub fingerprint: u64,
    /// Keyed hash of the key; zero without `KEYS_KEY`.
    pub hash: u64,
}

/// The application's trace, as the comment at the end of one execution's text says; comes before the statement's own record.
/// See [`crate::link`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LinkRecord {
    /// `link`: its number.
    pub header: RecordHeader,
    /// Statement.
    pub fingerprint: u64,
    /// The traceparent, and a byte that follows it.
    pub traceparent: [u64; 7],
}

/// The common name in a client's certificate, which the server has verified.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CertificateRecord {
    /// `flags`: [`TEXT_TRUNCATED`]; `detail`: bytes of the name.
    pub header: RecordHeader,
    /// The name; what lies behind it is nothing.
    pub name: [u8; CERTIFICATE_NAME],
}

/// Bytes of a name that are kept, less one.
pub const CERTIFICATE_NAME: usize = 256;

/// Key of the overflow map: volumes whose record found the ring full.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OverflowKey {
    /// Connection.
    pub connection: u64,
    /// Fingerprint.
    pub fingerprint: u64,
}

/// Value of the overflow map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverflowVolume {
    /// Sum of [`StatementRecord::rows_returned`] and [`ProgressRecord::rows_exact`].
    pub rows_returned: i64,
    /// Sum of [`StatementRecord::rows_written`].
    pub rows_written: u64,
    /// Sum of bytes sent.
    pub bytes_sent: u64,
    /// Sum of bytes received.
    pub bytes_received: u64,
    /// Statements.
    pub queries: u64,
    /// Records whose detail (time, order) was lost.
    pub records: u64,
    /// `CLOCK_MONOTONIC` of the latest.
    pub time: u64,
    /// OR of the records' flags.
    pub flags: u64,
}

/// Counters of the kernel side, one slot per CPU: what it could not do, and why.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounters {
    /// Records that found the ring full and went to the overflow map (detail lost, volume kept).
    pub ring_full: u64,
    /// Volume that found the overflow map full too: rows.
    pub lost_rows: u64,
    /// Likewise: bytes.
    pub lost_bytes: u64,
    /// Likewise: statements.
    pub lost_queries: u64,
    /// Bytes on watched sockets that could not be read from the process's memory (paged out, unmapped).
    pub fault_bytes: u64,
    /// Bytes on watched sockets passed by a system call whose buffers are not understood.
    pub opaque_bytes: u64,
    /// Watched sockets for which no state could be allocated: bytes.
    pub stateless_bytes: u64,
    /// Statement texts longer than what is hashed and captured.
    pub truncated_texts: u64,
    /// Pipelines deeper than what is tracked one by one: statements merged.
    pub merged_pipeline: u64,
    /// Keys whose record found the ring full: their rows count as records.
    pub lost_keys: u64,
    /// Statements whose keys could not all be read: the text or message was cut, or written in another way than was learnt.
    pub cut_keys: u64,
    /// Statements whose application samples its trace, but was not linked to: more came than the budget allows.
    pub links_over_budget: u64,
    /// Likewise: the ring was full.
    pub lost_links: u64,
    /// Plaintext of TLS that could not be tied to a socket with certainty, or not be looked at: bytes.
    pub unattributed_bytes: u64,
}

macro_rules! assert_size {
    ($($type:ty = $size:literal),* $(,)?) => {
        $(const _: () = assert!(size_of::<$type>() == $size && align_of::<$type>() <= 8);)*
    };
}

assert_size! {
    RecordHeader = 16,
    OpenRecord = 104,
    TextHeader = 24,
    StatementRecord = 88,
    ProgressRecord = 72,
    CloseRecord = 48,
    PhaseRecord = 40,
    ExitRecord = 32,
    LocalClientRecord = 128,
    KeysRecord = 32,
    LinkRecord = 80,
    CertificateRecord = 272,
    OverflowKey = 16,
    OverflowVolume = 64,
    KernelCounters = 112,
}
