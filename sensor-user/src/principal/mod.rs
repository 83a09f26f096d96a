//! Who it was: from a connection to the principal its volumes are counted under.

use std::{fmt, net::IpAddr, sync::Arc};

use crate::time::Timestamp;

pub mod certificate;
pub mod container;
pub mod identity;
mod interner;
mod local;
mod mysql;
mod pooler;
pub mod process;
pub mod redis;
pub mod resolver;
pub mod role;
pub mod startup;
pub mod title;
pub mod users;

use identity::Field;
use process::{Process, UNSET};

/// Index of an interned [`Principal`]; dense, never reused while the sensor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalId(pub u32);

/// One connection as the kernel numbers it (socket cookie).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How a user is shown whose connection is older than the sensor and gave nothing away.
pub const BEFORE_START: &str = "unknown (since before start)";

/// Who reads or writes. Equal fields mean the same principal; what is not part of the identity is left out ([`identity`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Principal {
    /// `db.system.name`.
    pub system: DbSystem,
    /// The database server on this host, e.g. `15/main:5432` (see `discover`).
    pub server: Arc<str>,
    /// `server.port`, zero when it listens on no port.
    pub server_port: u16,
    /// `user.name`: the database user who logged in; `None` until known.
    pub user: Option<Arc<str>>,
    /// The user is not known because the connection is older than the sensor.
    pub before_start: bool,
    /// `user.roles`: the role in force, after `SET ROLE` or `SET SESSION AUTHORIZATION`; `None` when it is the user's own.
    pub role: Option<Arc<str>>,
    /// Where the client sits.
    pub client: ClientAddress,
    /// The OS user of a client process on this host; `None` for remote clients.
    pub os_user: Option<OsUser>,
    /// The login user (audit login uid) of a client process on this host: the person behind `sudo`.
    pub login_user: Option<OsUser>,
    /// What the identity holds beyond, in the order of [`Field`].
    pub more: Vec<(Field, Arc<str>)>,
}

impl Principal {
    /// The user as a person reads it.
    pub fn shown_user(&self) -> &str {
        match &self.user {
            Some(user) => user,
            None if self.before_start => BEFORE_START,
            None => "(unknown)",
        }
    }
}

/// `db.system.name` values of the OpenTelemetry conventions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DbSystem {
    /// PostgreSQL.
    #[default]
    PostgreSql,
    /// MariaDB.
    MariaDb,
    /// MySQL.
    MySql,
    /// Redis; Valkey, too, for which the conventions have no value of its own.
    Redis,
}

impl DbSystem {
    /// The value as the conventions spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
            Self::Redis => "redis",
        }
    }

    /// The name that people know it by.
    pub fn title(self) -> &'static str {
        match self {
            Self::PostgreSql => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
            Self::Redis => "Redis",
        }
    }

    /// Does it speak MySQL's protocol and language?
    pub fn is_mysql(self) -> bool {
        matches!(self, Self::MariaDb | Self::MySql)
    }

    /// Is it another than PostgreSQL? Then one process serves all its connections, and no more is seen of TLS than its bytes.
    pub fn is_foreign(self) -> bool {
        self != Self::PostgreSql
    }

    /// Back from its name; what no name is from before there were others.
    pub fn from_name(name: &str) -> Self {
        [Self::MariaDb, Self::MySql, Self::Redis]
            .into_iter()
            .find(|system| system.as_str() == name)
            .unwrap_or(Self::PostgreSql)
    }
}

/// `client.address`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// A unix socket on this host.
    Unix,
    /// IPv4 or IPv6 (IPv4-mapped addresses are unmapped).
    Ip(IpAddr),
    /// Not known (the connection is older than the sensor and gave nothing away).
    #[default]
    Unknown,
    /// Not part of the identity.
    Any,
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("local"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Unknown => f.write_str("unknown"),
            Self::Any => f.write_str("any"),
        }
    }
}

/// A user of this host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OsUser {
    /// Numeric id.
    pub uid: u32,
    /// Name from the user database, or the number where there is none.
    pub name: Arc<str>,
}

impl fmt::Display for OsUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.uid)
    }
}

/// One client connection and what describes it beyond its principal.
#[derive(Clone, Debug)]
pub struct Session {
    /// Kernel's number of the connection.
    pub connection: ConnectionId,
    /// Its principal.
    pub principal: PrincipalId,
    /// All that is known of who it is, whatever the principal's identity is made of.
    pub who: Arc<Principal>,
    /// The client's process, on this host.
    pub process: Option<Arc<Process>>,
    /// The client is a connection pooler: its name, or its address. Who is behind it can't be known here.
    pub pooler: Option<Arc<str>>,
    /// `db.namespace`: the database connected to, empty when unknown.
    pub database: Arc<str>,
    /// `application_name` as the client claims, control characters escaped, at most 63 bytes; may be empty.
    pub application_name: Arc<str>,
    /// Subject of the certificate by which the client has proved who it is to the server.
    pub certificate: Option<Arc<str>>,
    /// What the configured tags say in the comment of the statement at hand: `user=ann`.
    pub tags: Option<Arc<str>>,
    /// Command name of a client process on this host, empty when remote.
    pub program: Arc<str>,
    /// Process id of a client process on this host.
    pub client_pid: Option<u32>,
    /// `client.port`, zero when not on TCP.
    pub client_port: u16,
    /// Process id of the server process that serves the connection.
    pub server_pid: u32,
    /// When it was first seen.
    pub since: Timestamp,
    /// True when the connection is older than the sensor, so that its start-up was not seen.
    pub preexisting: bool,
    /// True for standbys, backups and logical decoders (`replication` in the start-up packet).
    pub replication: bool,
}

impl Session {
    /// A connection of which nothing is known yet.
    pub fn new(connection: ConnectionId, principal: PrincipalId, since: Timestamp) -> Self {
        Self {
            connection,
            principal,
            who: Arc::default(),
            process: None,
            pooler: None,
            database: "".into(),
            application_name: "".into(),
            certificate: None,
            tags: None,
            program: "".into(),
            client_pid: None,
            client_port: 0,
            server_pid: 0,
            since,
            preexisting: false,
            replication: false,
        }
    }

    /// Audit session of the client.
    pub fn audit_session(&self) -> Option<u32> {
        let process = self.process.as_ref()?;
        (process.audit_session != UNSET).then_some(process.audit_session)
    }
}

#[cfg(test)]
impl Session {
    /// A session for unit tests of what lies behind.
    pub fn for_tests(connection: ConnectionId, principal: PrincipalId, database: &str) -> Self {
        Self {
            database: database.into(),
            server_pid: 1,
            ..Self::new(connection, principal, Timestamp(0))
        }
    }
}
