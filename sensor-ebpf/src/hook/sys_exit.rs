//! The end of every system call (`raw_tracepoint/sys_exit`, Linux 4.17): needs neither trampolines nor typed pointers, so
//! it is there where nothing else is. It costs every system call of the host some nanoseconds.
//!
//! What is not seen: operations that are no read or write of one buffer (`sendfile`, `splice`, `sendmmsg`, `recvmmsg`,
//! `io_uring`), which no PostgreSQL up to 18 does on its clients' sockets. The hooks above count those as opaque.

use aya_ebpf::programs::RawTracePointContext;

use super::{
    Direction, MSG_PEEK, Operation,
    registers::{self, calls},
};
use crate::{
    floor,
    maps::setting,
    task::{self, load, probe},
};

/// Arguments of `sys_exit(regs, ret)`: registers, number of the call, and its result; `None` for calls that neither read nor
/// write.
#[inline(always)]
pub fn call(ctx: &RawTracePointContext) -> Option<(u64, u32, i32)> {
    let registers: u64 = ctx.arg(0);
    let number = registers::number(registers);
    // Nearly all calls of the host end here.
    direction(number)?;
    Some((registers, number, ctx.arg::<i64>(1) as i32))
}

#[inline(always)]
fn direction(number: u32) -> Option<Direction> {
    match number {
        calls::READ | calls::READV | calls::RECVFROM | calls::RECVMSG => Some(Direction::Received),
        calls::WRITE | calls::WRITEV | calls::SENDTO | calls::SENDMSG => Some(Direction::Sent),
        _ => None,
    }
}

/// Takes in the whole call; which way its bytes went, `None` for peeks.
#[inline(always)]
pub fn take_in(registers: u64, number: u32, length: i32) -> Option<Direction> {
    let direction = direction(number)?;
    let call = floor::take_in(registers, number, direction, length)?;
    let flags = match number {
        calls::RECVFROM => call.fourth,
        calls::RECVMSG => call.third,
        _ => 0,
    };
    (flags as i32 & MSG_PEEK == 0).then_some(direction)
}

/// `S_IFMT` and `S_IFSOCK`.
const KIND: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;

/// The operation of the call that was taken in, if its file is a socket.
#[inline(always)]
pub fn operation() -> Option<(Operation, Direction)> {
    let (descriptor, direction, length) = floor::taken_in()?;
    let files: u64 = load(task::current(), setting!(offsets.task_files));
    let table: u64 = probe(files, setting!(offsets.files_fdt));
    if descriptor >= probe::<u32>(table, setting!(offsets.fdtable_max_fds)) {
        return None;
    }
    let descriptors: u64 = probe(table, setting!(offsets.fdtable_fd));
    let file: u64 = probe(descriptors + u64::from(descriptor) * 8, 0);
    let inode: u64 = probe(file, setting!(offsets.file_inode));
    if probe::<u16>(inode, setting!(offsets.inode_mode)) & KIND != SOCKET {
        return None;
    }
    let socket: u64 = probe(file, setting!(offsets.file_private_data));
    let sk: u64 = probe(socket, setting!(offsets.socket_sk));
    let number: u64 = probe(inode, setting!(offsets.inode_ino));
    if sk == 0 || !floor::begin(sk, number) {
        return None;
    }
    let sk = sk as *mut _;
    Some((Operation { sk, length }, direction))
}
