//! Names of this host's users.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    unistd::{Uid, User},
};

use super::OsUser;

/// uid → name, remembered: the user database may be on the network.
#[derive(Debug, Default)]
pub struct Users {
    names: HashMap<u32, Known>,
    /// The last answer was none: told of when that begins.
    failing: bool,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    /// When to ask again; a name that was found stays.
    ask_again: Option<Instant>,
}

/// Names kept at most; beyond, the table starts afresh.
const BOUND: usize = 16_384;
/// How long the number stands for the name where the user database failed, …
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// … and where it knows no such user: one may be made, and some databases say so when they are not there.
const AFTER_NONE: Duration = Duration::from_secs(3_600);

impl Users {
    /// The user with this id; its number stands for the name where there is none.
    pub fn get(&mut self, uid: u32) -> OsUser {
        self.get_by(uid, Instant::now(), |uid| {
            let user = User::from_uid(Uid::from_raw(uid))?;
            Ok(user.map(|user| user.name))
        })
    }

    fn get_by(
        &mut self,
        uid: u32,
        now: Instant,
        ask: impl FnOnce(u32) -> Result<Option<String>, Errno>,
    ) -> OsUser {
        let known = self
            .names
            .get(&uid)
            .filter(|known| known.ask_again.is_none_or(|when| now < when));
        let name = if let Some(known) = known {
            known.name.clone()
        } else {
            if self.names.len() >= BOUND {
                self.names.clear();
            }
            let answer = ask(uid);
            let failed_before = std::mem::take(&mut self.failing);
            let (name, ask_again) = match answer {
                Ok(Some(name)) => (name, None),
                // Two of the ways in which it says that there is none (getpwuid_r(3)).
                Ok(None) | Err(Errno::ENOENT | Errno::ESRCH) => {
                    (uid.to_string(), Some(now + AFTER_NONE))
                }
                Err(error) => {
                    self.failing = true;
                    if !failed_before {
                        log::warn!(
                            "the name of user {uid} can't be looked up: {error}; trying again"
                        );
                    }
                    (uid.to_string(), Some(now + AFTER_FAILURE))
                }
            };
            let name: Arc<str> = name.into();
            let known = Known {
                name: name.clone(),
                ask_again,
            };
            self.names.insert(uid, known);
            name
        };
        OsUser { uid, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_the_user_database_is_forgotten_and_a_name_is_not() {
        let mut users = Users::default();
        let begin = Instant::now();
        let mut at = |seconds, answer| {
            let now = begin + Duration::from_secs(seconds);
            let mut asked = false;
            let user = users.get_by(7, now, |_| {
                asked = true;
                answer
            });
            (user.name.to_string(), asked)
        };
        let ann = || Ok(Some("ann".to_owned()));
        assert_eq!(at(0, Err(Errno::EIO)), ("7".to_owned(), true));
        assert_eq!(at(59, ann()), ("7".to_owned(), false));
        assert_eq!(at(60, Err(Errno::EIO)), ("7".to_owned(), true));
        assert_eq!(at(120, Err(Errno::ENOENT)), ("7".to_owned(), true));
        assert_eq!(at(3_719, ann()), ("7".to_owned(), false));
        assert_eq!(at(3_720, ann()), ("ann".to_owned(), true));
        assert_eq!(at(1_000_000, Ok(None)), ("ann".to_owned(), false));
    }
}
