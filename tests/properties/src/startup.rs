//! What clients say of themselves: names are bounded, and can be shown.

use sensor_user::principal::{
    redis::{Claim, Claims},
    startup::{Startup, read},
};

use crate::mode;

/// Most bytes of a name, each as long as an escaped character.
const LONGEST: usize = 384 * 10;

/// In the first byte: the record was cut. The others are its kind.
const TRUNCATED: u8 = 128;

/// A record of the kind that the first byte says.
pub fn check(input: &[u8]) {
    let (mode, record) = mode(input);
    can_be_shown(&read(mode & !TRUNCATED, record, mode & TRUNCATED != 0));
    claims(record);
}

/// A record, as if it was of each kind.
pub fn read_all(record: &[u8]) {
    for kind in 0..8 {
        can_be_shown(&read(kind, record, false));
    }
    claims(record);
}

fn can_be_shown(startup: &Startup) {
    let Startup {
        user,
        database,
        application_name,
        role,
        replication: _,
    } = startup;
    for name in [user, database, role].into_iter().flatten() {
        shown(name);
    }
    shown(application_name);
}

fn shown(name: &str) {
    assert!(name.len() <= LONGEST, "{} bytes of a name", name.len());
    assert!(!name.chars().any(char::is_control), "{name:?}");
}

/// Records of Redis', one after the other: each answered when a later one has its number.
fn claims(records: &[u8]) {
    let mut claims = Claims::default();
    let mut names = Vec::new();
    for record in records.split(|byte| *byte == 0xff) {
        let Some(number) = record.first() else {
            continue;
        };
        names.extend(claims.told(1, record));
        if record.len() == 1 {
            names.extend(claims.answered(1, *number));
        }
    }
    for claim in &names {
        match claim {
            // Users of Redis are as long as a request that fits into a record.
            Claim::User(Some(name)) => {
                assert!(!name.chars().any(char::is_control), "{name:?}");
            }
            Claim::User(None) => {}
            Claim::Application(name) => shown(name),
        }
    }
    claims.closed(1);
}
