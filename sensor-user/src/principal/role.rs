//! Under which role a connection's statements run, and which name its application gives itself: what `SET` has made of the
//! start, with the transactions and savepoints that undo it. As the server does it; pure.

use std::sync::Arc;

use crate::sql::session::{Change, Parameter, Value};

/// What a role is called that can't be known.
pub const UNKNOWN: &str = "(unknown)";
/// Savepoints remembered; who goes back further than that has an unknown role.
const SAVEPOINTS: usize = 64;

/// The parameters, each as it was set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Set {
    authorization: Value,
    role: Value,
    application: Value,
}

impl Set {
    fn set(&mut self, parameter: Parameter, value: &Value) {
        match parameter {
            Parameter::Role => self.role = value.clone(),
            Parameter::ApplicationName => self.application = value.clone(),
            Parameter::SessionAuthorization => {
                self.authorization = value.clone();
                // The server's rule: whose session it is ends the role.
                self.role = Value::To("".into());
            }
        }
    }

    fn unknown() -> Self {
        Self {
            authorization: Value::Unknown,
            role: Value::Unknown,
            application: Value::Unknown,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Roles {
    /// The role that the start-up packet asks for.
    begun_role: Option<Arc<str>>,
    /// The application's name as it began.
    pub begun_application: Arc<str>,
    /// As of the last end of a transaction.
    committed: Set,
    /// As it will be when this one commits.
    session: Set,
    /// As it is.
    now: Set,
    /// `BEGIN`s less ends. Before the first `SET` the kernel adds them up, and their order is not known.
    begun: i64,
    /// A `SET` was seen: from then on everything comes in order.
    ordered: bool,
    savepoints: Vec<(Arc<str>, Set, Set)>,
    /// Some were left out.
    forgotten: bool,
}

impl Roles {
    /// Of a session that begins with this role.
    pub fn new(begun_role: Option<Arc<str>>) -> Self {
        Self {
            begun_role,
            begun_application: "".into(),
            committed: Set::default(),
            session: Set::default(),
            now: Set::default(),
            begun: 0,
            ordered: false,
            savepoints: Vec::new(),
            forgotten: false,
        }
    }

    /// Is a transaction open?
    fn in_transaction(&self) -> bool {
        self.begun > 0
    }

    /// A statement runs, the `ordinal`th since the server was last ready: at the first, what went before is over.
    pub fn runs(&mut self, ordinal: u32) {
        if ordinal == 0 && !self.in_transaction() {
            self.commit();
        }
    }

    /// A statement failed: outside of a transaction, all that came in the same message is undone.
    pub fn failed(&mut self) {
        if !self.in_transaction() {
            self.roll_back();
        }
    }

    /// So many equal statements that change the session completed.
    pub fn changed(&mut self, change: &Change, count: u32) {
        let count = i64::from(count.max(1));
        match change {
            Change::Set {
                parameter,
                value,
                local,
            } => {
                self.now.set(*parameter, value);
                if !*local {
                    self.session.set(*parameter, value);
                }
                // Calls of set_config are added up as any other statement.
                self.ordered |= *value != Value::Unknown;
            }
            Change::ResetAll => {
                self.now.application = Value::Begun;
                self.session.application = Value::Begun;
            }
            Change::DiscardAll => {
                self.session = Set::default();
                self.commit();
            }
            Change::Begin => self.begun += count,
            Change::Commit { chain } => {
                self.commit();
                self.end(*chain, count);
            }
            Change::Rollback { chain } => {
                self.roll_back();
                self.ordered = true;
                self.end(*chain, count);
            }
            Change::Savepoint(name) => {
                if self.savepoints.len() >= SAVEPOINTS {
                    self.savepoints.remove(0);
                    self.forgotten = true;
                }
                let point = (name.clone(), self.session.clone(), self.now.clone());
                self.savepoints.push(point);
            }
            Change::Release(name) => {
                if let Some(at) = self.find(name) {
                    self.savepoints.truncate(at);
                }
            }
            Change::RollbackTo(name) => match self.find(name) {
                Some(at) => {
                    self.savepoints.truncate(at + 1);
                    let (_, session, now) = &self.savepoints[at];
                    self.session = session.clone();
                    self.now = now.clone();
                }
                None if self.forgotten => {
                    self.session = Set::unknown();
                    self.now = Set::unknown();
                }
                None => {}
            },
        }
    }

    /// Something was set, and nobody knows what.
    pub fn changed_somehow(&mut self) {
        self.now.role = Value::Unknown;
        self.session.role = Value::Unknown;
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.savepoints
            .iter()
            .rposition(|(known, ..)| **known == *name)
    }

    fn commit(&mut self) {
        if self.now != self.committed || self.session != self.committed {
            self.committed = self.session.clone();
            self.now = self.session.clone();
        }
    }

    fn roll_back(&mut self) {
        self.session = self.committed.clone();
        self.now = self.committed.clone();
    }

    fn end(&mut self, chain: bool, count: i64) {
        if chain {
            // One ends, one begins.
        } else if self.ordered {
            self.begun = 0;
        } else {
            self.begun -= count;
        }
        self.savepoints.clear();
        self.forgotten = false;
    }

    /// The role in force, when it is not that of the user who logged in.
    pub fn role(&self, user: Option<&str>) -> Option<Arc<str>> {
        let of_session = || match &self.now.authorization {
            Value::Begun => None,
            Value::To(name) => Some(name.clone()),
            Value::Unknown => Some(UNKNOWN.into()),
        };
        let role = match &self.now.role {
            Value::Unknown => Some(UNKNOWN.into()),
            Value::To(name) if name.is_empty() => of_session(),
            Value::To(name) => Some(name.clone()),
            Value::Begun => match (&self.begun_role, of_session()) {
                (_, Some(name)) => Some(name),
                (role, None) => role.clone(),
            },
        };
        role.filter(|role| user != Some(&**role))
    }

    /// The application's name.
    pub fn application(&self) -> Arc<str> {
        match &self.now.application {
            Value::Begun => self.begun_application.clone(),
            Value::To(name) => name.clone(),
            Value::Unknown => UNKNOWN.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::postgres::changes;

    /// Runs texts one by one, each as a message of its own; `!` in front: its last statement fails.
    fn run(roles: &mut Roles, texts: &[&str]) {
        for text in texts {
            let (text, fails) = match text.strip_prefix('!') {
                Some(text) => (text, true),
                None => (*text, false),
            };
            let statements: Vec<&str> = text.split(';').collect();
            let changes = changes(text.as_bytes(), false);
            for (ordinal, _) in (0u32..).zip(&statements) {
                roles.runs(ordinal);
                if fails && ordinal as usize + 1 == statements.len() {
                    roles.failed();
                } else if let Some(change) = changes.at(ordinal) {
                    roles.changed(change, 1);
                }
            }
        }
    }

    fn role_after(texts: &[&str]) -> Option<String> {
        let mut roles = Roles::new(None);
        run(&mut roles, texts);
        roles.runs(0);
        roles.role(Some("ann")).map(|role| role.to_string())
    }

    #[test]
    fn roles_as_the_server_has_them() {
        for (texts, expected) in [
            (&["SET ROLE boss"][..], Some("boss")),
            (&["SET ROLE ann"], None),
            (&["SET ROLE boss", "RESET ROLE"], None),
            (&["SET ROLE boss", "SET ROLE NONE"], None),
            (&["SET ROLE boss", "RESET ALL"], Some("boss")),
            (&["SET ROLE boss", "DISCARD ALL"], None),
            (&["!SET ROLE boss"], None),
            // Transactions.
            (&["BEGIN", "SET ROLE boss", "COMMIT"], Some("boss")),
            (&["BEGIN", "SET ROLE boss", "ROLLBACK"], None),
            (&["BEGIN", "SET LOCAL ROLE boss", "COMMIT"], None),
            (&["BEGIN", "SET LOCAL ROLE boss"], Some("boss")),
            (&["SET LOCAL ROLE boss"], None),
            (
                &["SET ROLE boss", "BEGIN", "SET LOCAL ROLE x", "COMMIT"],
                Some("boss"),
            ),
            (
                &["SET ROLE boss", "BEGIN", "RESET ROLE", "ROLLBACK"],
                Some("boss"),
            ),
            (
                &["BEGIN", "SET ROLE boss", "SET LOCAL ROLE x", "COMMIT"],
                Some("boss"),
            ),
            (
                &[
                    "BEGIN",
                    "SET ROLE boss",
                    "COMMIT AND CHAIN",
                    "SET ROLE x",
                    "ROLLBACK",
                ],
                Some("boss"),
            ),
            (&["COMMIT", "SET ROLE boss", "ROLLBACK"], Some("boss")),
            // Several statements in one message are one transaction.
            (&["!SET ROLE boss; SELECT 1/0"], None),
            (&["SET ROLE boss; SELECT 1"], Some("boss")),
            (&["BEGIN; SET LOCAL ROLE boss; COMMIT"], None),
            (&["SET LOCAL ROLE boss; SELECT 1"], None),
            // Savepoints.
            (
                &[
                    "BEGIN",
                    "SET ROLE boss",
                    "SAVEPOINT s",
                    "SET ROLE x",
                    "ROLLBACK TO s",
                ],
                Some("boss"),
            ),
            (
                &[
                    "BEGIN",
                    "SET ROLE boss",
                    "SAVEPOINT s",
                    "SET ROLE x",
                    "RELEASE s",
                    "COMMIT",
                ],
                Some("x"),
            ),
            (
                &[
                    "BEGIN",
                    "SAVEPOINT s",
                    "SAVEPOINT s",
                    "SET ROLE x",
                    "ROLLBACK TO s",
                    "COMMIT",
                ],
                None,
            ),
            // Whose session it is.
            (&["SET SESSION AUTHORIZATION boss"], Some("boss")),
            (
                &["SET ROLE x", "SET SESSION AUTHORIZATION boss"],
                Some("boss"),
            ),
            (
                &["SET SESSION AUTHORIZATION boss", "SET ROLE x", "RESET ROLE"],
                Some("boss"),
            ),
            (
                &[
                    "SET SESSION AUTHORIZATION boss",
                    "RESET SESSION AUTHORIZATION",
                ],
                None,
            ),
            (&["SET SESSION AUTHORIZATION boss", "DISCARD ALL"], None),
            // Not known, so nobody's.
            (&["SELECT set_config('role', 'boss', false)"], Some(UNKNOWN)),
            (
                &["BEGIN", "SELECT set_config('role', $1, true)", "COMMIT"],
                None,
            ),
            (&["/**/ SET ROLE 'boss'", "SET ROLE boss"], Some("boss")),
        ] {
            assert_eq!(role_after(texts).as_deref(), expected, "{texts:?}");
        }
    }

    #[test]
    fn transactions_that_were_added_up() {
        let mut roles = Roles::new(None);
        // In whatever order they left: one is open.
        roles.changed(&Change::Commit { chain: false }, 99);
        roles.changed(&Change::Begin, 100);
        run(&mut roles, &["SET ROLE boss", "ROLLBACK"]);
        assert_eq!(roles.role(None), None);
        run(&mut roles, &["SET ROLE boss", "ROLLBACK"]);
        assert_eq!(roles.role(None).as_deref(), Some("boss"));
    }

    #[test]
    fn many_savepoints_are_forgotten_and_nobody_is_named() {
        let mut roles = Roles::new(None);
        run(&mut roles, &["BEGIN", "SAVEPOINT first", "SET ROLE boss"]);
        for _ in 0..SAVEPOINTS {
            run(&mut roles, &["SAVEPOINT s"]);
        }
        run(&mut roles, &["ROLLBACK TO first"]);
        assert_eq!(roles.role(None).as_deref(), Some(UNKNOWN));
        run(&mut roles, &["ROLLBACK"]);
        assert_eq!(roles.role(None), None);
    }

    #[test]
    fn names_of_applications() {
        let mut roles = Roles::new(Some("begun".into()));
        assert_eq!(roles.role(Some("ann")).as_deref(), Some("begun"));
        run(&mut roles, &["SET application_name = 'x'", "SET ROLE NONE"]);
        assert_eq!(&*roles.application(), "x");
        assert_eq!(roles.role(Some("ann")), None);
        run(&mut roles, &["RESET ALL", "RESET ROLE"]);
        assert_eq!(&*roles.application(), "");
        assert_eq!(roles.role(Some("ann")).as_deref(), Some("begun"));
    }
}
