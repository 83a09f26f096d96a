//! State of one server-side connection, kept in socket storage.

/// Where in its life a connection is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Phase {
    /// Untyped start-up packets.
    #[default]
    Startup = 0,
    /// The server was asked for TLS or GSSAPI encryption and answers with one byte.
    EncryptionRequested = 1,
    /// Start-up packet seen, not yet ready for queries.
    Authentication = 2,
    /// Typed messages, parsed.
    Ready = 3,
    /// Encrypted: bytes only.
    Encrypted = 4,
    /// Replication or physical backup (`CopyBothResponse`, or a walsender): bytes only.
    Replication = 5,
    /// The stream does not parse (or its beginning was not seen): bytes only until it makes sense again.
    Blind = 6,
    /// A cancel request: one packet, nothing follows.
    Cancel = 7,
    /// TLS begins, and its plaintext will be seen: nothing has come of it yet.
    Handshake = 8,
    /// Compressed: bytes only.
    Compressed = 9,
}

/// What is spoken on a connection.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// PostgreSQL's.
    #[default]
    Postgres = 0,
    /// MySQL's, and MariaDB's.
    MySql = 1,
    /// PostgreSQL's, by a pooler: one process for all connections, which asks for more before it has answered, and whose buffers serve
    /// another connection a moment later.
    Pooled = 2,
    /// Redis', and Valkey's.
    Redis = 3,
}

impl Protocol {
    /// Is it another than PostgreSQL's? A test of one bit.
    #[inline(always)]
    pub fn is_foreign(protocol: u8) -> bool {
        protocol & 1 != 0
    }
}

const _: () = assert!(Protocol::MySql as u8 & Protocol::Redis as u8 & 1 == 1);
const _: () = assert!((Protocol::Postgres as u8 | Protocol::Pooled as u8) & 1 == 0);

/// How the response is being followed.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Follow {
    /// Message by message.
    #[default]
    Walk = 0,
    /// Only counted: the middle of a long result. Its end is looked at when the server asks for more input; until then
    /// it could be data that looks like an end.
    Skim = 1,
}

/// A request whose response is outstanding.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Statement, zero when unknown.
    pub fingerprint: u64,
    /// `CLOCK_MONOTONIC` when it was received, or a mark: see `Surroundings::roughly_now`.
    pub started: u64,
    /// Row limit of an `Execute`, zero for none. Redis: a `protocol::redis::command::Kind`.
    pub limit: u32,
    /// How many equal requests this stands for (`Execute`s of one statement in a row), zero for a lone `Sync`.
    pub count: u16,
    /// `REQUEST_*`.
    pub flags: u8,
    /// Number of its `LinkRecord`, zero without one.
    pub link: u8,
}

impl Request {
    /// Nothing is asked for.
    pub const NONE: Self = Self {
        fingerprint: 0,
        started: 0,
        limit: 0,
        count: 0,
        flags: 0,
        link: 0,
    };
}

/// [`Request`]: a simple `Query`; else `Execute` or `Sync`.
pub const REQUEST_SIMPLE: u8 = 1;
/// [`Request`]: ends with `ReadyForQuery` (a simple query, or the last before a `Sync`).
pub const REQUEST_SYNC: u8 = 2;
/// [`Request`]: may hold several statements.
pub const REQUEST_SEVERAL: u8 = 4;
/// [`Request`]: goes on with a portal that was executed before.
pub const REQUEST_CONTINUES: u8 = 8;
/// [`Request`]: the text was longer than what is hashed.
pub const REQUEST_TRUNCATED: u8 = 16;
/// [`Request`]: its completion is never put together with others.
pub const REQUEST_APART: u8 = 32;

/// What only MySQL's protocol needs to know of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MySql {
    /// Bytes that came so far of the header of the packet that is being received: see [`Connection::header`].
    pub header_bytes: u8,
    /// How far the response is: see `protocol::mysql::Stage`.
    pub stage: u8,
    /// `MYSQL_*`.
    pub flags: u8,
}

/// [`MySql`]: the received packet that comes next goes on with the one before.
pub const MYSQL_RECEIVED_CONTINUES: u8 = 1;
/// [`MySql`]: the sent packet that comes next does.
pub const MYSQL_SENT_CONTINUES: u8 = 2;
/// [`MySql`]: compressed once the client is known.
pub const MYSQL_COMPRESSES: u8 = 4;
/// [`MySql`]: no `EOF` follows the descriptions of columns and parameters.
pub const MYSQL_DEPRECATES_EOF: u8 = 8;
/// [`MySql`]: a backslash in a literal is no escape (`NO_BACKSLASH_ESCAPES`).
pub const MYSQL_PLAIN: u8 = 16;
/// [`MySql`]: the client puts query attributes in front of its texts, if its server takes them.
pub const MYSQL_ATTRIBUTES: u8 = 32;
/// [`MySql`]: another user is being authenticated; the one before goes on when the server refuses.
pub const MYSQL_CHANGES_USER: u8 = 64;

/// Bytes of a response that are kept from one send to the next.
pub const TAIL: usize = 64;

/// See the module. One per server-side socket; what every statement touches comes first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Number of the connection (socket cookie).
    pub id: u64,
    /// A [`Phase`].
    pub phase: u8,
    /// A [`Follow`].
    pub follow: u8,
    /// `CONNECTION_*`.
    pub flags: u8,
    /// Bytes of `tail` that are the beginning of a message which the next send completes.
    pub carried: u8,
    /// Requests in `front` and the queue.
    pub outstanding: u16,
    /// A [`Protocol`].
    pub protocol: u8,
    /// MySQL: the command that is being answered. Redis: how the elements of the answer at hand count.
    pub command: u8,
    /// The request that is being answered.
    pub front: Request,
    /// Bytes sent in no record yet.
    pub sent: u64,
    /// Bytes received in no record yet.
    pub received: u64,
    /// All bytes seen, server to client.
    pub seen_sent: u64,
    /// All bytes seen, client to server.
    pub seen_received: u64,
    /// Bytes of the current response sent so far.
    pub response_bytes: u64,
    /// Fingerprint whose text is known to have left.
    pub known_fingerprint: u64,
    /// Fingerprint of the last statement that completed: bytes that follow belong to it.
    pub last_fingerprint: u64,
    /// Bytes of a sent message still to be passed over.
    pub sent_skip: u32,
    /// Bytes of a received message still to be passed over.
    pub received_skip: u32,
    /// Bytes of a received message kept in the partial storage.
    pub partial: u16,
    /// Statements completed in the current simple query, 65,535 for all beyond.
    pub ordinal: u16,
    /// Tick (`jiffies`, its lower half) of the last progress record.
    pub reported_at: u32,
    /// Rows of the current response counted so far.
    pub rows: u64,
    /// Rows of the current response that progress records reported as exact.
    pub rows_reported: u64,
    /// Bytes of the current response when it began to be skimmed: `rows` cover these.
    pub walked_bytes: u64,
    /// The client's stream lost its sense behind requests that are still being answered: 1.
    pub requests_lost: u8,
    /// `CopyDone` or `CopyFail` came for the `COPY` that is under way: 1.
    pub copy_done: u8,
    /// Which ways of [`crate::merged`] may hold completions, one bit each.
    pub merged: u8,
    /// Number of the last `LinkRecord`.
    pub link: u8,
    /// Number of the slot that this state lies in.
    pub slot: u32,
    /// Whose these ways are: a byte of the statement's fingerprint each.
    pub ways: u64,
    /// Bytes of plaintext that the server's last write into TLS brought.
    pub tls_written: u32,
    /// `TLS_*`.
    pub tls: u8,
    /// What only MySQL's protocol needs; of Redis', see `protocol::redis::follow`.
    pub mysql: MySql,
    /// Skimming: end of the last send in the server's memory, zero when its last bytes are in `tail`. Redis: what the
    /// messages count for that nobody asks for one by one. MySQL: the statement executed last.
    pub skimmed_end: u64,
    /// Fingerprint of the unnamed statement; MySQL: of the one prepared last; Redis: see `protocol::redis::follow`.
    pub unnamed_statement: u64,
    /// Fingerprint bound to the unnamed portal; MySQL, which has none: see [`Self::header`]; Redis: as above.
    pub unnamed_portal: u64,
    /// TCP's own counters when the socket was first seen.
    pub base_sent: u32,
    /// See `base_sent`.
    pub base_received: u32,
    /// Beginning of an incomplete message, kept flush with the end (walk), or the last bytes sent (skim).
    pub tail: [u8; TAIL],
}

/// [`Connection`]: its open record has left.
pub const CONNECTION_ANNOUNCED: u8 = 1;
/// [`Connection`]: `CopyInResponse` was sent for the current statement.
pub const CONNECTION_COPY_IN: u8 = 2;
/// [`Connection`]: `CopyOutResponse` was sent for the current statement.
pub const CONNECTION_COPY_OUT: u8 = 4;
/// [`Connection`]: the portal bound to the unnamed portal was executed before.
pub const CONNECTION_PORTAL_USED: u8 = 8;
/// [`Connection`]: an error came and the server discards requests until the next `Sync`.
pub const CONNECTION_FAILED: u8 = 16;
/// [`Connection`]: closed; what follows is not counted twice.
pub const CONNECTION_CLOSED: u8 = 32;
/// [`Connection`]: a `SET` was seen, so that the end of a transaction may change who runs what follows.
pub const CONNECTION_SET: u8 = 64;
/// [`Connection`]: not seen from its first byte.
pub const CONNECTION_PREEXISTING: u8 = 128;

/// [`Connection::tls`]: its plaintext is known to be that of a TLS object: only that is parsed, the socket's bytes are not.
pub const TLS_TIED: u8 = 1;
/// [`Connection::tls`]: the server's last call into TLS wrote.
pub const TLS_WRITES: u8 = 2;
/// [`Connection::tls`]: that write has sent nothing yet, or found the socket full: the next one repeats its bytes.
pub const TLS_REPEATS: u8 = 4;
/// [`Connection::tls`]: the socket ended; TLS will tell the server.
pub const TLS_ENDED: u8 = 8;
/// [`Connection::tls`]: plaintext passed that could not be looked at.
pub const TLS_MISSED: u8 = 16;

const _: () = assert!(size_of::<Connection>() == 256);

impl Connection {
    /// A fresh connection.
    pub const NEW: Self = Self {
        id: 0,
        phase: Phase::Startup as u8,
        follow: Follow::Walk as u8,
        flags: 0,
        carried: 0,
        outstanding: 0,
        protocol: Protocol::Postgres as u8,
        command: 0,
        front: Request::NONE,
        sent: 0,
        received: 0,
        rows: 0,
        rows_reported: 0,
        response_bytes: 0,
        walked_bytes: 0,
        reported_at: 0,
        tls_written: 0,
        tls: 0,
        mysql: MySql {
            header_bytes: 0,
            stage: 0,
            flags: 0,
        },
        skimmed_end: 0,
        last_fingerprint: 0,
        known_fingerprint: 0,
        sent_skip: 0,
        received_skip: 0,
        partial: 0,
        ordinal: 0,
        requests_lost: 0,
        copy_done: 0,
        merged: 0,
        link: 0,
        slot: 0,
        ways: 0,
        unnamed_statement: 0,
        unnamed_portal: 0,
        seen_sent: 0,
        seen_received: 0,
        base_sent: 0,
        base_received: 0,
        tail: [0; TAIL],
    };

    /// Starts afresh under the same number.
    #[inline(always)]
    pub fn reset(&mut self) {
        *self = Self {
            id: self.id,
            ..Self::NEW
        };
    }

    /// MySQL: header of the packet that is being received, length in the lower 24 bits, then its sequence number.
    #[inline(always)]
    pub fn header(&self) -> u32 {
        self.unnamed_portal as u32
    }

    /// See [`Self::header`].
    #[inline(always)]
    pub fn set_header(&mut self, header: u32) {
        self.unnamed_portal = u64::from(header);
    }

    /// Is `flag` set?
    #[inline(always)]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Sets `flag`.
    #[inline(always)]
    pub fn set(&mut self, flag: u8) {
        self.flags |= flag;
    }

    /// Clears `flag`.
    #[inline(always)]
    pub fn clear(&mut self, flag: u8) {
        self.flags &= !flag;
    }
}

/// Requests behind [`Connection::front`], in order; allocated when a client pipelines. The first half of the ring; the other is [`Rest`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// Index of the oldest, modulo [`QUEUE`].
    pub head: u32,
    /// How many.
    pub length: u32,
    /// The ring's first half.
    pub requests: [Request; HALF],
}

/// The second half of the ring of [`Queue`]: allocated when a client pipelines deeply.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// See there.
    pub requests: [Request; HALF],
}

/// Requests that are kept apart; equal ones in a row count as one. As many as one read of a server's buffer of 8 KiB holds; a power of two.
pub const QUEUE: usize = 2 * HALF;
/// Half of them: more does not get into a socket's storage.
pub const HALF: usize = 256;

/// Bytes that a socket's storage may have on every kernel: newer ones (7.2 is one) take it where two pages are the most, and make none that is
/// larger, without a word. With it lie the kernel's own links.
const STORAGE: usize = 8192 - 128;
const _: () = assert!(size_of::<Queue>() <= STORAGE && size_of::<Partial>() <= STORAGE);

impl Queue {
    /// Without a request.
    pub const EMPTY: Self = Self {
        head: 0,
        length: 0,
        requests: [Request::NONE; HALF],
    };
}

impl Rest {
    /// Without a request.
    pub const EMPTY: Self = Self {
        requests: [Request::NONE; HALF],
    };
}

/// Beginning of a received message that the next operations complete.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Partial {
    /// The bytes; `Connection::partial` says how many.
    pub data: [u8; PARTIAL],
}

impl Partial {
    /// Without a byte.
    pub const EMPTY: Self = Self { data: [0; PARTIAL] };
}

/// Bytes of a received message that are kept: the captured text, the message's header and a statement's name.
pub const PARTIAL: usize = 4608;

/// Key of the map of named prepared statements and portals.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameKey {
    /// Connection.
    pub connection: u64,
    /// Hash of the name; portals and statements are told apart by its lowest bit.
    pub name: u64,
}
