//! What a client of Redis or Valkey says of itself, and whether the server took it: `AUTH`, `HELLO`, `CLIENT SETNAME`.

use std::{collections::HashMap, sync::Arc};

use sensor_ebpf::protocol::redis::{APPLICATION, DOUBT, PASSWORD, USER};

use super::startup::{apart, clean, escaped};

/// The user of connections that did not log in.
pub const DEFAULT_USER: &str = "default";
/// The database that connections begin with.
pub const FIRST_DATABASE: &str = "0";

/// Claims of one connection that wait for an answer; more are a client's that wants nothing but that.
const WAITING: usize = 64;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It logs in as this user; nobody can tell as whom.
    User(Option<Arc<str>>),
    /// It gives the connection a name.
    Application(Arc<str>),
}

/// Claims that wait for the end of their commands, by connection.
#[derive(Debug, Default)]
pub struct Claims(HashMap<u64, Waiting>);

/// Those of one connection.
#[derive(Debug, Default)]
struct Waiting {
    /// By number.
    claims: Vec<(u8, Claim)>,
    /// There were so many at a time that one may be taken for another: nobody is believed any more.
    crowded: bool,
}

impl Claims {
    /// Takes a record in. What it says is given back when no answer is waited for.
    pub fn told(&mut self, connection: u64, record: &[u8]) -> Option<Claim> {
        let [number, what, name @ ..] = record else {
            return None;
        };
        let claim = match *what {
            USER => Claim::User(Some(apart(escaped(name)))),
            PASSWORD => Claim::User(Some(DEFAULT_USER.into())),
            APPLICATION => Claim::Application(clean(name)),
            DOUBT => Claim::User(None),
            _ => return None,
        };
        if *number == 0 {
            return Some(claim);
        }
        let waiting = self.0.entry(connection).or_default();
        let last = waiting.claims.last().map(|(last, _)| *last);
        let again =
            last != Some(*number) && waiting.claims.iter().any(|(other, _)| other == number);
        if waiting.claims.len() == WAITING || again {
            waiting.crowded = true;
            waiting.claims.clear();
        }
        if !waiting.crowded {
            waiting.claims.push((*number, claim));
        }
        None
    }

    /// The command of this number was answered: what it said. Numbers come round, so those before it are over, too.
    pub fn answered(&mut self, connection: u64, number: u8) -> Vec<Claim> {
        let Some(waiting) = self.0.get_mut(&connection) else {
            return Vec::new();
        };
        if waiting.crowded {
            return vec![Claim::User(None)];
        }
        let Some(last) = waiting
            .claims
            .iter()
            .rposition(|(other, _)| *other == number)
        else {
            return Vec::new();
        };
        let claims = waiting
            .claims
            .drain(..=last)
            .filter(|(other, _)| *other == number)
            .map(|(_, claim)| claim)
            .collect();
        if waiting.claims.is_empty() {
            self.0.remove(&connection);
        }
        claims
    }

    /// A connection ended.
    pub fn closed(&mut self, connection: u64) {
        self.0.remove(&connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Claim {
        Claim::User(Some(name.into()))
    }

    #[test]
    fn claims_wait_for_their_answers() {
        let mut claims = Claims::default();
        assert_eq!(claims.told(1, b"\x01Uann"), None);
        assert_eq!(claims.told(1, b"\x02P"), None);
        assert_eq!(claims.told(1, b"\x03Nshop"), None);
        assert_eq!(claims.told(1, b"\x03Ubob"), None);
        assert_eq!(claims.answered(1, 2), [user("default")]);
        assert_eq!(claims.answered(1, 1), [], "it came before");
        assert_eq!(
            claims.answered(1, 3),
            [Claim::Application("shop".into()), user("bob")]
        );
        assert_eq!(claims.answered(1, 3), []);
        assert_eq!(claims.answered(2, 1), []);
    }

    #[test]
    fn doubts_do_not_wait_where_no_answer_comes() {
        let mut claims = Claims::default();
        assert_eq!(claims.told(1, b"\0?"), Some(Claim::User(None)));
        assert_eq!(claims.told(1, b"\x01?"), None);
        assert_eq!(claims.answered(1, 1), [Claim::User(None)]);
        assert_eq!(claims.told(1, b""), None);
        assert_eq!(claims.told(1, b"\x01"), None);
    }

    #[test]
    fn names_cannot_deceive_and_do_not_pile_up() {
        let mut claims = Claims::default();
        for i in 0..200u8 {
            claims.told(1, &[&[i + 1, b'U'][..], b"(other)\x1b"].concat());
        }
        assert!(claims.0[&1].claims.is_empty());
        assert_eq!(
            claims.answered(1, 200),
            [Claim::User(None)],
            "too many to tell them apart"
        );
        claims.closed(1);
        claims.told(1, b"\x01U(other)\x1b");
        assert_eq!(claims.answered(1, 1), [user("\"(other)\\u{1b}\"")]);
        assert!(claims.0.is_empty());
    }

    /// Numbers have a byte: with 255 log-ins under way the first and the last have the same.
    #[test]
    fn nobody_takes_anothers_answer() {
        let mut claims = Claims::default();
        claims.told(1, b"\x01Uann");
        claims.told(1, b"\x02Ux");
        claims.told(1, b"\x01Ubob");
        assert_eq!(claims.answered(1, 1), [Claim::User(None)]);
    }
}
