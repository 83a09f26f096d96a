//! What brings another protocol than PostgreSQL's goes on in a program of that protocol: the verifier follows a million
//! instructions of each program, and one for all protocols would need nearly all of them.
//!
//! A program jumps there (`bpf_tail_call`) and does not come back. What it has found out lies in a map of this CPU, which nobody
//! else runs on in between.

use aya_ebpf::{
    EbpfContext,
    btf_maps::{PerCpuArray, ProgramArray},
    macros::btf_map,
};
use sensor_ebpf::{
    connection::{Connection, Protocol},
    program::{PROTOCOLS, is_second, number},
    protocol::{mysql, redis},
};

use crate::{
    home::{Home as _, Socket},
    hook::{Direction, Operation, registers::Buffer},
    maps::{PLACES, SCRATCH, count},
    processor,
    server::DONE,
    state,
    surroundings::KernelSurroundings,
};

/// The programs behind each of those on sockets, named for it: the kernel lets a program jump only to what is attached to the same
/// function. Userspace writes.
#[btf_map]
pub static SOCK_RECV_LENGTH: ProgramArray<PROGRAMS> = ProgramArray::new();
/// See [`SOCK_RECV_LENGTH`].
#[btf_map]
pub static SOCK_SEND_LENGTH: ProgramArray<PROGRAMS> = ProgramArray::new();
/// See [`SOCK_RECV_LENGTH`].
#[btf_map]
pub static TCP_RECVMSG: ProgramArray<PROGRAMS> = ProgramArray::new();
/// See [`SOCK_RECV_LENGTH`].
#[btf_map]
pub static TCP_SENDMSG: ProgramArray<PROGRAMS> = ProgramArray::new();
/// See [`SOCK_RECV_LENGTH`].
#[btf_map]
pub static UNIX_STREAM_RECVMSG: ProgramArray<PROGRAMS> = ProgramArray::new();
/// See [`SOCK_RECV_LENGTH`].
#[btf_map]
pub static UNIX_STREAM_SENDMSG: ProgramArray<PROGRAMS> = ProgramArray::new();

/// By [`number`]; those of PostgreSQL stay empty.
const PROGRAMS: usize = 2 * PROTOCOLS as usize;

/// What a program leaves for that to which it jumps, by its working memory. The loader sets the number.
#[btf_map]
static LEFT: PerCpuArray<Left, PLACES> = PerCpuArray::new();

/// See [`LEFT`].
#[repr(C)]
struct Left {
    address: u64,
    vectors: u32,
    /// Of the connection.
    slot: u32,
    /// Bytes of the operation.
    length: u64,
}

/// The operation goes on in the program of its connection's protocol: which.
#[inline(always)]
pub fn leave<const PROGRAM: usize>(connection: &Connection, buffer: &Buffer, length: u32) -> u8 {
    let Some(left) = LEFT.get_ptr_mut(Socket::<PROGRAM>::place()) else {
        return DONE;
    };
    // SAFETY: this CPU's slot; programs do not migrate.
    unsafe {
        (*left).address = buffer.address;
        (*left).vectors = buffer.vectors;
        (*left).slot = connection.slot;
        (*left).length = u64::from(length);
    }
    connection.protocol
}

/// Lets go of the processor, and jumps to the program of that protocol. Numbers are written out, so that the kernel makes it a jump to
/// a known place.
#[inline(always)]
pub fn jump<C: EbpfContext, const PROGRAM: usize>(
    ctx: &C,
    programs: &ProgramArray<PROGRAMS>,
    protocol: u8,
) -> i32 {
    // No program ends or jumps away with the processor in its hands.
    processor::let_go();
    if protocol == DONE {
        return 0;
    }
    // SAFETY: nothing is to be dropped here.
    unsafe {
        if protocol == Protocol::MySql as u8 {
            programs.tail_call(ctx, number(Protocol::MySql, is_second(PROGRAM)));
        } else if protocol == Protocol::Redis as u8 {
            programs.tail_call(ctx, number(Protocol::Redis, is_second(PROGRAM)));
        }
    }
    // Only where there is no such program.
    if let Some(left) = LEFT.get_ptr(Socket::<PROGRAM>::place()) {
        // SAFETY: as in `leave`.
        let length = unsafe { (*left).length };
        count!(opaque_bytes, length);
    }
    0
}

/// MySQL's program.
#[inline(always)]
pub fn mysql<const PROGRAM: usize>(operation: Option<Operation>, direction: Direction) -> i32 {
    go_on::<PROGRAM>(operation, direction, mysql::received, mysql::sent)
}

/// Redis' program.
#[inline(always)]
pub fn redis<const PROGRAM: usize>(operation: Option<Operation>, direction: Direction) -> i32 {
    go_on::<PROGRAM>(operation, direction, redis::received, redis::sent)
}

type Surroundings<const PROGRAM: usize> = KernelSurroundings<Socket<PROGRAM>>;

#[inline(always)]
fn go_on<const PROGRAM: usize>(
    operation: Option<Operation>,
    direction: Direction,
    received: impl FnOnce(&mut Surroundings<PROGRAM>, &mut Connection, u32),
    sent: impl FnOnce(&mut Surroundings<PROGRAM>, &mut Connection, u32),
) -> i32 {
    let place = Socket::<PROGRAM>::place();
    if let Some(operation) = operation
        && let (Some(left), Some(scratch)) = (LEFT.get_ptr(place), SCRATCH.get_ptr_mut(place))
    {
        // SAFETY: this CPU's slot, which the program that jumped here has filled.
        let left = unsafe { &*left };
        let length = operation.length as u32;
        // Better none than another's.
        if let Some(connection) = state::slot(left.slot)
            && connection.id == state::cookie(operation.sk)
        {
            let mut surroundings = KernelSurroundings {
                home: Socket::<PROGRAM>(operation.sk),
                buffer: Buffer {
                    address: left.address,
                    vectors: left.vectors,
                },
                scratch,
            };
            if direction == Direction::Received {
                received(&mut surroundings, connection, length);
            } else {
                sent(&mut surroundings, connection, length);
            }
        } else {
            count!(opaque_bytes, u64::from(length));
        }
    }
    processor::let_go();
    0
}
