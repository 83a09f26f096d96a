//! Names of this host's users.

use std::{collections::HashMap, sync::Arc};

use nix::unistd::{Uid, User};

use super::OsUser;

/// uid → name, remembered: the user database may be on the network.
#[derive(Debug, Default)]
pub struct Users {
    names: HashMap<u32, Arc<str>>,
}

/// Names kept at most; beyond, the table starts afresh.
const BOUND: usize = 16_384;

impl Users {
    /// The user with this id; its number stands for the name where there is none.
    pub fn get(&mut self, uid: u32) -> OsUser {
        if self.names.len() >= BOUND {
            self.names.clear();
        }
        let name = self.names.entry(uid).or_insert_with(|| {
            User::from_uid(Uid::from_raw(uid))
                .ok()
                .flatten()
                .map_or_else(|| uid.to_string(), |user| user.name)
                .into()
        });
        OsUser {
            uid,
            name: name.clone(),
        }
    }
}
