//! Which of the things that are known of a connection tell principals apart, and which only describe them.

use std::sync::Arc;

use super::{ClientAddress, Principal, Session};

/// A thing that can tell principals apart, beside the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The database user who logged in.
    User,
    /// The role in force, where it is another.
    Role,
    /// Where the client sits.
    ClientAddress,
    /// OS user of a client on this host.
    OsUser,
    /// The login behind it.
    LoginUser,
    /// Audit session of a client on this host.
    AuditSession,
    /// Command name of a client on this host.
    Program,
    /// `application_name`, as the client claims.
    ApplicationName,
    /// Container of a client on this host.
    Container,
    /// Pod of a client on this host.
    Pod,
    /// That the client is a pooler, and which.
    Pooler,
    /// Tags in statements' comments, as the application claims.
    Tags,
    /// Subject of the client's certificate.
    Certificate,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::User,
        Self::Role,
        Self::ClientAddress,
        Self::OsUser,
        Self::LoginUser,
        Self::AuditSession,
        Self::Program,
        Self::ApplicationName,
        Self::Container,
        Self::Pod,
        Self::Pooler,
        Self::Tags,
        Self::Certificate,
    ];

    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
            Self::ClientAddress => "client_address",
            Self::OsUser => "os_user",
            Self::LoginUser => "login_user",
            Self::AuditSession => "audit_session",
            Self::Program => "program",
            Self::ApplicationName => "application_name",
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Pooler => "pooler",
            Self::Tags => "tags",
            Self::Certificate => "certificate",
        }
    }

    /// Back from its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }

    /// Is it whatever the client says it is?
    pub fn is_claimed(self) -> bool {
        matches!(self, Self::Program | Self::ApplicationName)
    }
}

/// A choice of [`Field`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    fields: Vec<Field>,
}

impl Default for Identity {
    fn default() -> Self {
        Self::new(vec![
            Field::User,
            Field::Role,
            Field::ClientAddress,
            Field::OsUser,
            Field::LoginUser,
            Field::Pooler,
            Field::Tags,
            Field::Certificate,
        ])
    }
}

impl Identity {
    /// Of these.
    pub fn new(mut fields: Vec<Field>) -> Self {
        fields.sort_unstable();
        fields.dedup();
        Self { fields }
    }

    /// Is it one of them?
    pub fn has(&self, field: Field) -> bool {
        self.fields.contains(&field)
    }

    /// The principal of a connection: of all that is known, what tells principals apart.
    pub fn of(&self, known: &Principal, session: &Session) -> Principal {
        let mut principal = known.clone();
        for field in Field::ALL {
            let has = self.has(field);
            match field {
                Field::Role if !has => principal.role = None,
                Field::ClientAddress if !has => principal.client = ClientAddress::Any,
                Field::OsUser if !has => principal.os_user = None,
                Field::LoginUser if !has => principal.login_user = None,
                Field::AuditSession
                | Field::Program
                | Field::ApplicationName
                | Field::Container
                | Field::Pod
                | Field::Pooler
                | Field::Tags
                | Field::Certificate
                    if has =>
                {
                    if let Some(value) = value(field, session) {
                        principal.more.push((field, value));
                    }
                }
                _ => {}
            }
        }
        principal
    }
}

fn value(field: Field, session: &Session) -> Option<Arc<str>> {
    let process = session.process.as_deref();
    let container = process.map(|process| &process.more.container);
    match field {
        Field::AuditSession => session.audit_session().map(|id| id.to_string().into()),
        Field::Program => Some(session.program.clone()),
        Field::ApplicationName => Some(session.application_name.clone()),
        Field::Container => container?.id.clone(),
        Field::Pod => container?.pod.clone(),
        Field::Pooler => session.pooler.clone(),
        Field::Tags => session.tags.clone(),
        Field::Certificate => session.certificate.clone(),
        _ => None,
    }
    .filter(|value| !value.is_empty())
}
