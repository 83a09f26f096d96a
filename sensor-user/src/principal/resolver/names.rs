//! Names that a client gives while its connection lives, and that the server may refuse: Redis'.

use std::sync::Arc;

use super::{
    super::redis::{self, Claim},
    Resolver,
};

impl Resolver {
    /// A command by which a client gave names was answered; `took`: the server took them, if that is known. False when nothing is
    /// known of any names.
    pub fn answered(&mut self, connection: u64, number: u8, took: Option<bool>) -> bool {
        let mut claims = self.claims.answered(connection, number);
        if claims.is_empty() {
            return false;
        }
        match took {
            Some(true) => {}
            // Of what nobody can tell, a part may have been taken before the rest was refused.
            Some(false) => claims.retain(|claim| *claim == Claim::User(None)),
            // It will be seen in no answer.
            None => {
                claims.retain(|claim| matches!(claim, Claim::User(_)));
                claims.fill(Claim::User(None));
            }
        }
        self.claimed(connection, &claims);
        true
    }

    /// Somebody logged in, and nobody can tell who.
    pub fn doubt(&mut self, connection: u64) {
        self.claimed(connection, &[Claim::User(None)]);
    }

    /// A connection of Redis' is as it began.
    pub fn reset(&mut self, connection: u64) {
        let user = Claim::User(Some(redis::DEFAULT_USER.into()));
        self.claimed(connection, &[user, Claim::Application("".into())]);
        self.uses(connection, redis::FIRST_DATABASE.into());
    }

    pub(super) fn claimed(&mut self, connection: u64, claims: &[Claim]) {
        if claims.is_empty() {
            return;
        }
        let Some(mut session) = self
            .beginning
            .remove(&connection)
            .or_else(|| self.sessions.get(&connection).cloned())
        else {
            return;
        };
        for claim in claims {
            match claim {
                Claim::User(user) => {
                    let who = Arc::make_mut(&mut session.who);
                    who.user.clone_from(user);
                    who.before_start = false;
                }
                Claim::Application(name) => session.application_name = name.clone(),
            }
        }
        self.put(session);
    }
}
