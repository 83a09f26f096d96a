//! What must hold of any input, whoever made it up. Fuzzers (`tests/fuzz`) look for inputs of which it does not; the test of
//! this crate checks those that were found, and what the fuzzers begin with (docs/decisions/fuzzing.md).

mod comments;
mod config;
mod conversation;
mod proc;
mod records;
mod redis;
mod sql;
mod startup;

/// A parser, and what must hold of what it makes of an input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its fuzzer, and the folder of its seeds.
    pub name: &'static str,
    /// Panics where it does not hold.
    pub check: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("postgres", conversation::postgres),
    target("mysql", conversation::mysql),
    target("redis", conversation::redis),
    target("postgres_sql", sql::postgres),
    target("mysql_sql", sql::mysql),
    target("redis_request", redis::request),
    target("startup", startup::check),
    target("records", records::check),
    target("comments", comments::check),
    target("proc", proc::check),
    target("config", config::check),
];

const fn target(name: &'static str, check: fn(&[u8])) -> Target {
    Target { name, check }
}

/// Checks an input of the target of this name.
pub fn check(name: &str, input: &[u8]) {
    let target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .unwrap_or_else(|| panic!("there is no target {name}"));
    (target.check)(input);
}

/// What an input says how it is to be taken, and the rest of it.
fn mode(input: &[u8]) -> (u8, &[u8]) {
    input
        .split_first()
        .map_or((0, input), |(mode, rest)| (*mode, rest))
}
