//! Which of two programs at the end of a function runs first: that is the kernel's affair, so it is asked, by two that each leave its
//! number in the same place.

use std::{
    io::{self, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
};

use btf_rs::Btf;

use super::ask::{self, EXIT, ZERO, instruction};

/// One at whose end programs can be put, and the place of its length among the arguments.
const FUNCTION: &str = "unix_stream_sendmsg";
const LENGTH_ARGUMENT: i16 = 2;
/// Bytes of a write that nobody else makes in that moment.
const LENGTH: u16 = 12_347;

/// Does that which was attached last run first?
///
/// # Errors
/// What the kernel says.
pub fn last_runs_first(btf: &Btf) -> io::Result<bool> {
    let place = ask::number()?;
    let attached = [1, 2].map(|number| {
        let program = leaves(number, &place);
        ask::at_function_exit(btf, FUNCTION, &program)
    });
    let (mut write, _read) = UnixStream::pair()?;
    write.write_all(&[0; LENGTH as usize])?;
    for program in attached {
        drop(program?);
    }
    match ask::value(&place)? {
        1 => Ok(true),
        2 => Ok(false),
        other => Err(io::Error::other(format!(
            "of two programs on {FUNCTION} none ran ({other})"
        ))),
    }
}

/// A program that leaves its number in a place when it sees that write.
fn leaves(number: i32, place: &OwnedFd) -> [u64; 7] {
    [
        // r2 = the length
        instruction(0x79, 0x12, 8 * LENGTH_ARGUMENT, 0),
        // if r2 != LENGTH goto behind the store
        instruction(0x55, 2, 3, i32::from(LENGTH)),
        // r3 = address of the map's value (`BPF_PSEUDO_MAP_VALUE`)
        instruction(0x18, 0x23, 0, place.as_raw_fd()),
        0,
        // *(u32 *)r3 = number
        instruction(0x62, 3, 0, number),
        ZERO,
        EXIT,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_where_there_are_such_programs() {
        let btf = super::super::offsets::vmlinux().expect("BTF of the running kernel");
        let told = last_runs_first(&btf);
        // The same, however often it is asked; and refused where such programs are.
        match ask::function_exit(&btf, FUNCTION) {
            Ok(()) => assert_eq!(told.ok(), last_runs_first(&btf).ok()),
            Err(_) => assert!(told.is_err()),
        }
    }
}
