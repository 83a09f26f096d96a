//! Conversations as bytes, for fuzzers: any bytes are one, and what a fuzzer does to bytes does something to conversations.
//!
//! First how the connection is met (`FROM_*` and others below), then operations, each a [`MARK`], what it is, and its bytes
//! up to the next mark: see [`Operation`].

use super::Simulation;
#[cfg(test)]
use crate::connection::Connection;
use crate::{
    connection::{CONNECTION_CLOSED, CONNECTION_PREEXISTING, Phase, Protocol},
    picked::Plan,
    tags::Names,
};

/// Begins an operation: not in UTF-8, and rare elsewhere.
const MARK: [u8; 2] = [0xf5, 0xfd];

/// In the first byte: from its first byte on.
#[cfg(test)]
const FROM_START: u8 = 0;
/// From when it was ready for queries; of PostgreSQL alone.
const FROM_READY: u8 = 1;
/// Older than the sensor.
const FROM_MIDDLE: u8 = 2;
/// From its first byte on, and should it become TLS, its plaintext is seen.
const FROM_START_PROBED: u8 = 3;
/// By a pooler; of PostgreSQL alone.
const POOLED: u8 = 4;
/// Two bits: after how many bytes results are skimmed, a place in [`SKIM_AFTER`].
const SKIM: u8 = 3;
const SKIM_AFTER: [u64; 4] = [u64::MAX, 0, 256, 2048];
/// Tags are looked for.
const TAGGED: u8 = 32;
/// A plan for all statements follows, in six bytes.
const PLANNED: u8 = 64;
/// Its key stands in a list.
const LISTED: u8 = 128;

/// In what an operation is: the server sends; else it receives.
const SENT: u8 = 1;
/// Its bytes come so many times as the upper six bits say, and once more; else in pieces of so many bytes, whole with none. Without
/// bytes: it has two to the power of that, which can't be read.
const OFTEN: u8 = 2;
/// Most bytes that are made of few.
const MOST: usize = 1 << 18;
/// Longest conversation that is written down.
#[cfg(test)]
const LONGEST_KEPT: usize = 1 << 14;

/// A conversation.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    met: u8,
    plan: Option<Plan>,
    operations: &'a [u8],
}

/// An operation, before it is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operation<'a> {
    what: u8,
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    /// Reads one.
    pub fn read(bytes: &'a [u8]) -> Self {
        let (met, rest) = bytes
            .split_first()
            .map_or((0, bytes), |(met, rest)| (*met, rest));
        let mut script = Self {
            met,
            plan: None,
            operations: rest,
        };
        if met & PLANNED != 0
            && let Some((plan, rest)) = rest.split_at_checked(6)
        {
            script.plan = Some(Plan {
                group: plan[0],
                bound_group: plan[1],
                start: plan[2].into(),
                param: plan[3],
                tail: plan[4],
                bound_param: plan[5],
                list: met & LISTED != 0,
            });
            script.operations = rest;
        }
        script
    }

    /// Plays it to its end, in working memory that is full of `garbage`. `names`: tags, if it looks for some.
    pub fn play(self, protocol: Protocol, garbage: u8, names: Names) -> Simulation {
        let skim_after = SKIM_AFTER[usize::from(self.met >> 3 & SKIM)];
        let mut simulation = Simulation::new(skim_after);
        let connection = &mut simulation.connection;
        connection.protocol = protocol as u8;
        let from = self.met & 3;
        if protocol == Protocol::Postgres {
            if self.met & POOLED != 0 {
                connection.protocol = Protocol::Pooled as u8;
            }
            if from == FROM_READY {
                connection.phase = Phase::Ready as u8;
            }
        }
        if from == FROM_MIDDLE {
            connection.phase = Phase::Blind as u8;
            connection.set(CONNECTION_PREEXISTING);
        }
        if from == FROM_START_PROBED {
            simulation.probed();
        }
        if self.met & TAGGED != 0 {
            simulation.tags(names);
        }
        if let Some(plan) = self.plan {
            simulation.plan_for_all(plan);
        }
        simulation.garbage(garbage);
        for operation in self.operations() {
            operation.play(&mut simulation);
        }
        simulation.closed();
        simulation
    }

    fn operations(self) -> impl Iterator<Item = Operation<'a>> {
        let mut rest = Some(self.operations);
        let pieces = std::iter::from_fn(move || {
            let bytes = rest?;
            let mark = bytes.windows(MARK.len()).position(|two| two == MARK);
            rest = mark.map(|at| &bytes[at + MARK.len()..]);
            Some(&bytes[..mark.unwrap_or(bytes.len())])
        });
        // What stands in front of the first mark is no operation's.
        pieces.skip(1).filter_map(|piece| {
            let (what, bytes) = piece.split_first()?;
            Some(Operation { what: *what, bytes })
        })
    }
}

impl Operation<'_> {
    fn play(self, simulation: &mut Simulation) {
        let is_sent = self.what & SENT != 0;
        let number = usize::from(self.what >> 2);
        let mut take = |bytes: &[u8]| {
            if simulation.connection.has(CONNECTION_CLOSED) {
                // Nobody listens any more.
            } else if is_sent {
                simulation.sent(bytes);
            } else {
                simulation.received(bytes);
            }
        };
        match (self.bytes.len(), self.what & OFTEN != 0) {
            (0, true) => {
                if !simulation.connection.has(CONNECTION_CLOSED) {
                    simulation.unreadable(1 << (number & 31), is_sent);
                }
            }
            (0, false) => simulation.wants_input(),
            (length, true) => take(&self.bytes.repeat((number + 1).min(MOST / length + 1))),
            (_, false) if number == 0 => take(self.bytes),
            (_, false) => self.bytes.chunks(number).for_each(take),
        }
    }
}

/// Writes unit tests' conversations down, each a file named by its hash, in the folder that this variable names: seeds.
#[cfg(test)]
const KEPT: &str = "SENSOR_SEEDS";

/// A conversation that is being written down.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Kept {
    protocol: u8,
    script: Vec<u8>,
}

#[cfg(test)]
impl Kept {
    pub(super) fn operation(&mut self, simulated: (&Connection, u64), is_sent: bool, bytes: &[u8]) {
        let (connection, skim_after) = simulated;
        if self.script.is_empty() {
            self.protocol = connection.protocol;
            let from = match connection.phase {
                phase if phase == Phase::Ready as u8 => FROM_READY,
                phase if phase == Phase::Blind as u8 => FROM_MIDDLE,
                _ => FROM_START,
            };
            let skim = SKIM_AFTER.iter().position(|known| *known == skim_after);
            let skim = skim.unwrap_or(SKIM_AFTER.len() - 1) as u8;
            self.script.push(from | skim << 3);
        }
        self.script.extend(MARK);
        self.script.push(if is_sent { SENT } else { 0 });
        self.script.extend(bytes);
    }
}

#[cfg(test)]
impl Drop for Kept {
    fn drop(&mut self) {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};

        let Some(folder) = std::env::var_os(KEPT).filter(|folder| !folder.is_empty()) else {
            return;
        };
        let protocol = match self.protocol {
            protocol if protocol == Protocol::MySql as u8 => "mysql",
            protocol if protocol == Protocol::Redis as u8 => "redis",
            _ => "postgres",
        };
        // Longer ones would slow a fuzzer down more than they show it.
        if self.script.is_empty() || self.script.len() > LONGEST_KEPT {
            return;
        }
        let mut hasher = DefaultHasher::new();
        self.script.hash(&mut hasher);
        let folder = std::path::Path::new(&folder).join(protocol);
        let file = folder.join(format!("{:016x}", hasher.finish()));
        if let Err(error) =
            std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, &self.script))
        {
            eprintln!("cannot write {}: {error}", file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(what: u8, bytes: &[u8]) -> Vec<u8> {
        [&MARK[..], &[what], bytes].concat()
    }

    #[test]
    fn any_bytes_are_a_conversation() {
        for bytes in [
            &b""[..],
            b"\0",
            b"\xff",
            b"\x40\xf5",
            b"\x01\xf5\xfd",
            b"no mark",
        ] {
            let played = Script::read(bytes).play(Protocol::Postgres, 0, [0; 32]);
            assert_eq!(played.accounted(), (0, 0), "{bytes:?}");
        }
    }

    #[test]
    fn operations_are_cut_and_repeated() {
        let query = b"Q\0\0\0\x0dSELECT 1\0";
        let script = |what| [&[FROM_READY][..], &operation(what, query)].concat();
        for (what, queries) in [(0, 1), (3 << 2, 1), (OFTEN, 1), (OFTEN | 4 << 2, 5)] {
            let script = script(what);
            let played = Script::read(&script).play(Protocol::Postgres, 0, [0; 32]);
            let expected = query.len() as u64 * queries;
            assert_eq!(played.accounted(), (0, expected), "{what}");
            assert_eq!(played.emitted().texts.len(), 1);
        }
        let unreadable = [&[FROM_READY][..], &operation(OFTEN | SENT | 31 << 2, b"")].concat();
        let played = Script::read(&unreadable).play(Protocol::Postgres, 0, [0; 32]);
        assert_eq!(played.accounted(), (1 << 31, 0));
    }
}
