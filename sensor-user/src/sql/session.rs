//! What a statement changes of its session: under which role the following ones run, and under which application's name.

use std::sync::Arc;

/// A change of the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// `SET`, `RESET` of one parameter.
    Set {
        /// Which.
        parameter: Parameter,
        /// To what.
        value: Value,
        /// `SET LOCAL`: until the transaction ends.
        local: bool,
    },
    /// `RESET ALL`; leaves the roles alone, as the server does.
    ResetAll,
    /// `DISCARD ALL`.
    DiscardAll,
    /// `BEGIN`.
    Begin,
    /// `COMMIT`; `chain`: the next transaction begins at once.
    Commit {
        /// `AND CHAIN`.
        chain: bool,
    },
    /// `ROLLBACK`.
    Rollback {
        /// `AND CHAIN`.
        chain: bool,
    },
    /// `SAVEPOINT`.
    Savepoint(Arc<str>),
    /// `RELEASE`.
    Release(Arc<str>),
    /// `ROLLBACK TO`.
    RollbackTo(Arc<str>),
}

/// The parameters that say who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// `role`.
    Role,
    /// `session_authorization`.
    SessionAuthorization,
    /// `application_name`.
    ApplicationName,
}

impl Parameter {
    /// By its name, in whatever case.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            ("role", Self::Role),
            ("session_authorization", Self::SessionAuthorization),
            ("application_name", Self::ApplicationName),
        ]
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, parameter)| parameter)
    }
}

/// What a parameter is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Value {
    /// As the session began.
    #[default]
    Begun,
    /// This; escaped. An empty role is none.
    To(Arc<str>),
    /// Something that the text does not tell.
    Unknown,
}

/// What the statements of one text change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Changes {
    /// Nothing, as nearly all texts.
    #[default]
    None,
    /// By the statement's place in the text; a lone statement's is the first, wherever it is run.
    Each(Arc<[Option<Change>]>),
    /// It may change something, but the text can't be read.
    Unreadable,
}

impl Changes {
    /// What the statement at `ordinal` changes.
    pub fn at(&self, ordinal: u32) -> Option<&Change> {
        let Self::Each(changes) = self else {
            return None;
        };
        match &**changes {
            [only] => only.as_ref(),
            changes => changes.get(ordinal as usize)?.as_ref(),
        }
    }
}
