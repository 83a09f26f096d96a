//! The programs on sockets as both sides know them: which there are, where they find each other, and what they call.

use crate::connection::Protocol;

/// A program on sockets, whatever its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The first on reads.
    Receives = 0,
    /// The first on writes.
    Sends = 1,
    /// The second on reads, which does what the first was not let to do.
    ReceivesSecond = 2,
    /// The second on writes.
    SendsSecond = 3,
}

/// How many there are.
pub const PROGRAMS: usize = 4;

/// Is it one of the second?
#[inline(always)]
pub const fn is_second(program: usize) -> bool {
    program >= Program::ReceivesSecond as usize
}

/// The working memory of programs on a library's functions, which may be preempted on all kernels.
pub const PLACE_OF_LIBRARY: u32 = 1;
/// Working memories of programs on sockets: where they are not preempted they share one.
pub const SHARED: [u32; PROGRAMS] = [0; PROGRAMS];
/// Where they are, each has its own.
pub const APART: [u32; PROGRAMS] = [0, 2, 3, 4];

/// Numbers of protocols are below this.
pub const PROTOCOLS: u32 = 4;
const _: () = assert!((Protocol::Redis as u32) < PROTOCOLS && (Protocol::MySql as u32) < PROTOCOLS);

/// Where the programs of a hook find that of a protocol: those of the second are behind the others.
#[inline(always)]
pub const fn number(protocol: Protocol, second: bool) -> u32 {
    protocol as u32 + if second { PROTOCOLS } else { 0 }
}

/// In the place of the number of a kernel function, whose name is this constant's behind `bpf_`: the loader writes that.
pub const PREEMPT_DISABLE: i32 = 0x5e50_0001;
/// See [`PREEMPT_DISABLE`].
pub const PREEMPT_ENABLE: i32 = 0x5e50_0002;
/// See [`PREEMPT_DISABLE`].
pub const LOCAL_IRQ_SAVE: i32 = 0x5e50_0003;
/// See [`PREEMPT_DISABLE`].
pub const LOCAL_IRQ_RESTORE: i32 = 0x5e50_0004;
