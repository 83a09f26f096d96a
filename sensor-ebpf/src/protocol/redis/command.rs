//! Commands: what of a request matters, and how the elements of its answer count. Shared with userspace, which reads the same
//! request again where its text leaves.

/// What a command is, as far as it makes a difference here.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its answer is data.
    Data = 0,
    /// Its answer is a list of answers.
    Exec,
    /// Its answer is a cursor, then a list.
    Scan,
    /// A script, which may put data into what says elsewhere that something is done, or went wrong.
    Script,
    /// Its answer says something of the server, and is no data.
    Quiet,
    /// `AUTH`.
    Auth,
    /// `HELLO`, with which a client may log in, too.
    Hello,
    /// `CLIENT`: gives the connection a name, or wants no answers.
    Client,
    /// Messages follow that nobody asks for one by one; its answers come as such.
    Subscribe,
    /// Ends that; answered in the same way.
    Unsubscribe,
    /// Lines follow, one for each command that any client gives.
    Monitor,
    /// A replica: what follows is the copy of all data, then all that changes.
    Sync,
    /// `SELECT`: its number is a part of the statement.
    Select,
    /// `RESET`.
    Reset,
    /// `QUIT`.
    Quit,
    /// `REPLCONF`: what a replica says of itself; some of it is not answered.
    Replconf,
}

impl Kind {
    /// Back from its number.
    #[inline(always)]
    pub fn of(number: u8) -> Self {
        const ALL: [Kind; 16] = [
            Kind::Data,
            Kind::Exec,
            Kind::Scan,
            Kind::Script,
            Kind::Quiet,
            Kind::Auth,
            Kind::Hello,
            Kind::Client,
            Kind::Subscribe,
            Kind::Unsubscribe,
            Kind::Monitor,
            Kind::Sync,
            Kind::Select,
            Kind::Reset,
            Kind::Quit,
            Kind::Replconf,
        ];
        match ALL.get(number as usize) {
            Some(kind) => *kind,
            None => Kind::Data,
        }
    }

    /// Do the elements of its answer count?
    #[inline(always)]
    pub fn is_data(kind: u8) -> bool {
        kind <= Kind::Script as u8
    }
}

/// See the module; packed, so that it fits a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub u32);

/// The key stands behind the word `MATCH`, wherever that is.
pub const BEHIND_MATCH: u32 = 14;
/// Likewise `STREAMS`.
pub const BEHIND_STREAMS: u32 = 15;

const KEY: u32 = 8;
const SHOWN: u32 = 12;
const NAMED: u32 = 1 << 16;
const COUNTED: u32 = 1 << 17;

impl Command {
    const fn new(kind: Kind, key: u32) -> Self {
        Self(kind as u32 | key << KEY)
    }

    /// The first argument is a part of the command's name.
    const fn named(self) -> Self {
        Self(self.0 | NAMED).shows(1)
    }

    /// In front of the keys stands how many they are.
    const fn counted(self) -> Self {
        Self(self.0 | COUNTED)
    }

    /// Userspace wants to see so many arguments.
    const fn shows(self, arguments: u32) -> Self {
        Self(self.0 | arguments << SHOWN)
    }

    /// How its answer counts.
    #[inline(always)]
    pub fn kind(self) -> u8 {
        self.0 as u8
    }

    /// Which argument is its first key, zero for none; or `BEHIND_*`.
    #[inline(always)]
    pub fn key(self) -> u32 {
        self.0 >> KEY & 15
    }

    /// How many arguments say what it does, key or not.
    #[inline(always)]
    pub fn shown(self) -> u32 {
        self.0 >> SHOWN & 15
    }

    /// Is the first argument a part of its name?
    #[inline(always)]
    pub fn is_named(self) -> bool {
        self.0 & NAMED != 0
    }

    /// Is its first argument a key, and all that its statement says beside its name?
    #[inline(always)]
    pub fn is_of_first_key(self) -> bool {
        self.key() == 1 && !self.is_named()
    }

    /// Does the argument in front of the key say how many keys follow?
    #[inline(always)]
    pub fn is_counted(self) -> bool {
        self.0 & COUNTED != 0
    }
}

/// A name's beginning, as [`command`] wants it.
const fn word(name: &[u8]) -> u64 {
    let mut word = 0;
    let mut i = 0;
    while i < name.len() && i < 8 {
        word |= ((name[i] & UPPER as u8) as u64) << (i * 8);
        i += 1;
    }
    word
}

/// Takes the bit away that tells a small letter from a capital.
pub const UPPER: u64 = 0xdfdf_dfdf_dfdf_dfdf;

const DATA: Command = Command::new(Kind::Data, 1);
const NO_KEY: Command = Command::new(Kind::Data, 0);
const QUIET: Command = Command::new(Kind::Quiet, 0);
/// Its answer is data, and no key of its own.
pub const DATA_OF_SERVER: Command = NO_KEY.named();
const NAMED_QUIET: Command = QUIET.named();
/// `NO ONE` is another statement than a server's name, and each server one of its own: userspace wants to see each.
const TO_A_SERVER: Command = NO_KEY.named().shows(2);

/// Of names of up to eight bytes, all of one length: few comparisons for each.
macro_rules! short {
    ($first:ident: $($name:literal => $command:expr,)*) => {{
        $(
            if $first == const { word($name) } {
                return $command;
            }
        )*
    }};
}

/// Of longer ones.
macro_rules! long {
    ($first:ident, $rest:ident: $($name:literal => $command:expr,)*) => {
        $(
            if $first == const { word($name) } && $rest == const { word($name.split_at(8).1) } {
                return $command;
            }
        )*
    };
}

/// The command of this name: its first eight bytes and its next eight, capitals, zeros behind. `length` is how long it is.
#[inline(always)]
pub fn command(first: u64, rest: u64, length: u32) -> Command {
    if length > 8 {
        return long(first, rest);
    }
    match length {
        3 => short! { first:
            b"ACL" => NAMED_QUIET,
        },
        4 => short! { first:
            b"EXEC" => Command::new(Kind::Exec, 0),
            b"SCAN" => Command::new(Kind::Scan, BEHIND_MATCH),
            b"EVAL" => Command::new(Kind::Script, 3).counted(),
            b"SAVE" => NO_KEY,
            b"WAIT" => QUIET,
            b"PING" => QUIET,
            b"ECHO" => QUIET,
            b"TIME" => QUIET,
            b"INFO" => QUIET,
            b"ROLE" => QUIET,
            b"AUTH" => Command::new(Kind::Auth, 0),
            b"SYNC" => Command::new(Kind::Sync, 0),
            b"QUIT" => Command::new(Kind::Quit, 0),
        },
        5 => short! { first:
            b"HSCAN" => Command::new(Kind::Scan, 1),
            b"SSCAN" => Command::new(Kind::Scan, 1),
            b"ZSCAN" => Command::new(Kind::Scan, 1),
            b"FCALL" => Command::new(Kind::Script, 3).counted(),
            b"ZDIFF" => Command::new(Kind::Data, 2).counted(),
            b"LMPOP" => Command::new(Kind::Data, 2).counted(),
            b"ZMPOP" => Command::new(Kind::Data, 2).counted(),
            b"BITOP" => Command::new(Kind::Data, 2),
            b"XREAD" => Command::new(Kind::Data, BEHIND_STREAMS),
            b"XINFO" => Command::new(Kind::Data, 2).named(),
            b"DEBUG" => DATA_OF_SERVER,
            b"MULTI" => QUIET,
            b"HELLO" => Command::new(Kind::Hello, 0),
            b"PSYNC" => Command::new(Kind::Sync, 0),
            b"RESET" => Command::new(Kind::Reset, 0),
        },
        6 => short! { first:
            b"ZUNION" => Command::new(Kind::Data, 2).counted(),
            b"ZINTER" => Command::new(Kind::Data, 2).counted(),
            b"BLMPOP" => Command::new(Kind::Data, 3).counted(),
            b"BZMPOP" => Command::new(Kind::Data, 3).counted(),
            b"OBJECT" => Command::new(Kind::Data, 2).named(),
            b"MEMORY" => Command::new(Kind::Data, 2).named(),
            b"XGROUP" => Command::new(Kind::Data, 2).named(),
            b"DBSIZE" => NO_KEY,
            b"SWAPDB" => NO_KEY,
            b"BGSAVE" => NO_KEY,
            b"LOLWUT" => QUIET,
            b"ASKING" => QUIET,
            b"CONFIG" => NAMED_QUIET,
            b"MODULE" => NAMED_QUIET,
            b"PUBSUB" => NAMED_QUIET,
            b"SCRIPT" => NAMED_QUIET,
            b"CLIENT" => Command::new(Kind::Client, 0).named(),
            b"SELECT" => Command::new(Kind::Select, 0).named(),
        },
        7 => short! { first:
            b"EVALSHA" => Command::new(Kind::Script, 3).counted(),
            b"EVAL_RO" => Command::new(Kind::Script, 3).counted(),
            b"MIGRATE" => Command::new(Kind::Data, 3).shows(2),
            b"SLOWLOG" => DATA_OF_SERVER,
            b"FLUSHDB" => NO_KEY,
            b"SLAVEOF" => TO_A_SERVER,
            b"DISCARD" => QUIET,
            b"UNWATCH" => QUIET,
            b"WAITAOF" => QUIET,
            b"COMMAND" => NAMED_QUIET,
            b"CLUSTER" => NAMED_QUIET,
            b"LATENCY" => NAMED_QUIET,
            b"MONITOR" => Command::new(Kind::Monitor, 0),
        },
        8 => short! { first:
            b"FCALL_RO" => Command::new(Kind::Script, 3).counted(),
            b"FUNCTION" => DATA_OF_SERVER,
            b"FLUSHALL" => NO_KEY,
            b"SHUTDOWN" => NO_KEY,
            b"FAILOVER" => NO_KEY,
            b"LASTSAVE" => QUIET,
            b"REPLCONF" => Command::new(Kind::Replconf, 0).named(),
            b"READONLY" => QUIET,
            b"SENTINEL" => NAMED_QUIET,
        },
        _ => {}
    }
    DATA
}

#[inline(always)]
fn long(first: u64, rest: u64) -> Command {
    long! { first, rest:
        b"SUBSCRIBE" => Command::new(Kind::Subscribe, 1),
        b"PSUBSCRIBE" => Command::new(Kind::Subscribe, 1),
        b"SSUBSCRIBE" => Command::new(Kind::Subscribe, 1),
        b"UNSUBSCRIBE" => Command::new(Kind::Unsubscribe, 1),
        b"PUNSUBSCRIBE" => Command::new(Kind::Unsubscribe, 1),
        b"SUNSUBSCRIBE" => Command::new(Kind::Unsubscribe, 1),
        b"EVALSHA_RO" => Command::new(Kind::Script, 3).counted(),
        b"ZINTERCARD" => Command::new(Kind::Data, 2).counted(),
        b"SINTERCARD" => Command::new(Kind::Data, 2).counted(),
        b"XREADGROUP" => Command::new(Kind::Data, BEHIND_STREAMS),
        b"RANDOMKEY" => NO_KEY,
        b"REPLICAOF" => TO_A_SERVER,
        b"BGREWRITEAOF" => NO_KEY,
        b"READWRITE" => QUIET,
    }
    DATA
}

/// The command of this name.
pub fn by_name(name: &[u8]) -> Command {
    let rest = name.get(8..).unwrap_or_default();
    command(word(name), word(rest), name.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        for name in ["get", "GET", "Set", "lrange", "nothing", "ZREVRANGEBYSCORE"] {
            assert_eq!(by_name(name.as_bytes()), DATA, "{name}");
        }
        for name in ["scan", "SCAN", "sCaN"] {
            let command = by_name(name.as_bytes());
            assert_eq!(command.kind(), Kind::Scan as u8);
            assert_eq!(command.key(), BEHIND_MATCH);
        }
        for (name, kind) in [
            ("subscribe", Kind::Subscribe),
            ("PUNSUBSCRIBE", Kind::Unsubscribe),
            ("psync", Kind::Sync),
            ("client", Kind::Client),
        ] {
            assert_eq!(by_name(name.as_bytes()).kind(), kind as u8, "{name}");
        }
        let eval = by_name(b"evalsha_ro");
        assert!(eval.is_counted() && eval.key() == 3);
        assert!(by_name(b"object").is_named());
        assert_eq!(by_name(b"migrate").shown(), 2);
        // Names that only begin like a known one.
        assert_eq!(by_name(b"subscribers"), DATA);
        assert_eq!(by_name(b"gets"), DATA);
    }

    #[test]
    fn kinds_come_back_from_their_numbers() {
        for number in 0..16 {
            assert_eq!(Kind::of(number) as u8, number);
        }
        assert_eq!(Kind::of(200), Kind::Data);
    }
}
