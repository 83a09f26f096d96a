//! The steps of one operation, called one after the other from a program that keeps nothing on its stack: before Linux 6.13
//! all nested calls together have 512 bytes of it, and eight calls may nest.
//!
//! Global functions, as those of `turns` are. Each leaves in [`super::HERE`] what the next one needs.

use sensor_ebpf::{
    program::Program,
    protocol::{Surroundings as _, postgres},
};

use super::{here, served};
use crate::{
    client, doubled,
    hook::{Direction, sys_exit},
    server,
    surroundings::{hash_literals, hash_parameters},
    task,
};

/// Nothing more to do.
pub const NOTHING: u32 = 0;
/// The server received bytes of a connection that is known.
pub const RECEIVED: u32 = 1;
/// It sent some.
pub const SENT: u32 = 2;
/// What it sent is to be taken apart message by message.
pub const WALKS: u32 = 3;

/// Takes in a system call with these registers, finds out whose operation it is, and what is to be done next.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn step_operation(registers: u64, number: u32, length: i32) -> u32 {
    let Some(direction) = sys_exit::take_in(registers, number, length) else {
        return NOTHING;
    };
    if task::is_server() {
        if let Some((operation, direction)) = sys_exit::operation() {
            // One program for both directions, with one working memory.
            server::operation::<{ Program::Receives as usize }>(&operation, direction);
        }
    } else if direction == Direction::Sent
        && length > 0
        && let Some((operation, _)) = sys_exit::operation()
    {
        client::sent(&operation);
    }
    here().map_or(NOTHING, |here| here.next)
}

/// The same in the second program, of what the first was not let to see.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn step_left(registers: u64, number: u32, length: i32) -> u32 {
    if sys_exit::take_in(registers, number, length).is_none() {
        return NOTHING;
    }
    if task::is_server()
        && let Some((operation, direction)) = sys_exit::operation()
        && doubled::is_left(&operation, direction)
    {
        server::operation::<{ Program::ReceivesSecond as usize }>(&operation, direction);
    }
    here().map_or(NOTHING, |here| here.next)
}

/// See [`RECEIVED`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn step_received() -> u32 {
    if let (Some((mut surroundings, connection)), Some(here)) = (served(), here()) {
        postgres::received(&mut surroundings, connection, here.length as u32);
    }
    NOTHING
}

/// See [`SENT`]; what comes next.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn step_sent() -> u32 {
    if let (Some((mut surroundings, connection)), Some(here)) = (served(), here()) {
        surroundings.scratch().walks = false;
        postgres::sent(&mut surroundings, connection, here.length as u32);
        if surroundings.scratch().walks {
            return WALKS;
        }
    }
    NOTHING
}

/// See [`WALKS`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn step_walk() -> u32 {
    if let (Some((mut surroundings, connection)), Some(here)) = (served(), here()) {
        postgres::walk(&mut surroundings, connection, here.length as u32);
    }
    NOTHING
}

/// Picks the keys of the message that was just taken, if it has any.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn step_keys() -> u32 {
    let Some(here) = here() else {
        return NOTHING;
    };
    let plan = here.plan;
    if plan == 0 {
        return NOTHING;
    }
    here.plan = 0;
    if here.bound {
        hash_parameters(plan, here.start, here.end, 0)
    } else {
        hash_literals(plan, here.start, here.end, 0)
    }
}
