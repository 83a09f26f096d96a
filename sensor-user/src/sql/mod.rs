//! What a statement does: operation, tables, summary, without any of its literals.

use std::sync::Arc;

pub mod keys;
pub mod mysql;
pub mod postgres;
pub mod redis;
pub mod session;
pub mod shapes;
pub mod tags;

/// In which language a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// PostgreSQL's.
    Postgres,
    /// MySQL's or MariaDB's; `plain`: a backslash in a literal is no escape.
    MySql {
        /// See there.
        plain: bool,
    },
    /// Redis': requests.
    Redis,
}

impl Language {
    /// Analyses a text: see [`postgres::analyse`].
    pub fn analyse(self, text: &[u8], truncated: bool) -> Vec<Shape> {
        match self {
            Self::Postgres => postgres::analyse(text, truncated),
            Self::MySql { plain } => mysql::analyse(text, truncated, plain),
            Self::Redis => vec![redis::analyse(text)],
        }
    }

    /// What the statement of a text picks its rows by, as far as that is known.
    pub fn picks(self, text: &[u8], truncated: bool) -> Option<postgres::Picks> {
        match self {
            Self::Postgres => postgres::picks(text, truncated),
            Self::MySql { .. } | Self::Redis => None,
        }
    }

    /// What the statements of a text change of their session, as far as that is followed.
    pub fn changes(self, text: &[u8], truncated: bool) -> session::Changes {
        match self {
            Self::Postgres => postgres::changes(text, truncated),
            Self::MySql { .. } | Self::Redis => session::Changes::None,
        }
    }
}

/// The shape of one SQL statement: everything that is kept and exported about it.
///
/// No literal of the statement survives in any field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    /// `db.operation.name`: the leading keyword in upper case (`SELECT`, `COPY`, `FETCH`, …), empty when unknown.
    pub operation: Arc<str>,
    /// `db.collection.name` candidates: tables and views as written (`customers`, `crm.customers`),
    /// without duplicates, in order of first use; CTE names are left out. Of Redis the pattern of the first key.
    pub tables: Vec<Arc<str>>,
    /// `db.query.summary`: e.g. `SELECT customers tickets`, at most 255 characters.
    pub summary: Arc<str>,
    /// `db.query.text`, sanitised: every literal replaced by a placeholder.
    pub text: Arc<str>,
    /// False when the text did not parse (or was cut by the kernel) and the rest is a best effort from its tokens.
    pub parsed: bool,
    /// The cursor a `DECLARE` opens, or a `FETCH`/`MOVE`/`CLOSE` uses.
    pub cursor: Option<Cursor>,
    /// The way by which data leaves through the server's own hands instead of the client's socket.
    pub egress: Option<Egress>,
}

/// A cursor named in a statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cursor {
    /// `DECLARE name CURSOR FOR …`: rows that later `FETCH`es return belong to this statement's tables.
    Declares(Arc<str>),
    /// `FETCH … FROM name` or `MOVE`.
    Fetches(Arc<str>),
    /// `CLOSE name`; `None` is `CLOSE ALL`.
    Closes(Option<Arc<str>>),
}

/// Data leaving by the server's own hands: the rows never cross the client's socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Egress {
    /// How.
    pub route: EgressRoute,
    /// Where to: a file, a program's first word, a remote server. A path or name, never data.
    /// Empty when the statement computes it.
    pub destination: Arc<str>,
}

/// The routes of [`Egress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EgressRoute {
    /// `COPY … TO 'file'`, `pg_file_write`, MySQL's `INTO OUTFILE` and `INTO DUMPFILE`, Redis' `SAVE` and kin.
    CopyToFile,
    /// `COPY … TO PROGRAM 'command'`.
    CopyToProgram,
    /// `lo_export`.
    LargeObjectExport,
    /// `pg_read_file`, `pg_read_binary_file`, `pg_ls_dir` and kin, `lo_import`, and `COPY … FROM` a file or program, MySQL's
    /// `LOAD_FILE` and `LOAD DATA` of its own file:
    /// what only the server can read becomes readable through SQL.
    ServerFileRead,
    /// `dblink*`, or DDL for `postgres_fdw` (`CREATE SERVER`, `IMPORT FOREIGN SCHEMA`, `CREATE USER MAPPING`, …), Redis' `MIGRATE`
    /// and `REPLICAOF`.
    RemoteServer,
}

impl EgressRoute {
    /// All routes.
    pub const ALL: [Self; 5] = [
        Self::CopyToFile,
        Self::CopyToProgram,
        Self::LargeObjectExport,
        Self::ServerFileRead,
        Self::RemoteServer,
    ];

    /// Back from its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.as_str() == name)
    }

    /// Name used in alerts and exports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CopyToFile => "copy_to_file",
            Self::CopyToProgram => "copy_to_program",
            Self::LargeObjectExport => "large_object_export",
            Self::ServerFileRead => "server_file_read",
            Self::RemoteServer => "remote_server",
        }
    }
}
