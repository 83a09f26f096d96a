//! The system call's registers: where the buffer of a socket operation is.
//!
//! Both hooks run inside the system call, so its arguments need not be remembered from its entry. One function a
//! processor architecture.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
#[cfg(not(floor))]
use aya_ebpf::helpers::generated::bpf_task_pt_regs;

#[cfg(floor)]
use crate::{floor::system_call, task::probe};
#[cfg(not(floor))]
use crate::task::{self, load};

/// Where the bytes of an operation are in the process's memory.
#[derive(Clone, Copy)]
pub struct Buffer {
    /// Address of the bytes, or of an array of `struct iovec`.
    pub address: u64,
    /// Entries of the array; zero when `address` is that of the bytes.
    pub vectors: u32,
}

/// A system call and its arguments.
#[cfg(floor)]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SystemCall {
    /// Its number; all bits set for none.
    pub number: u32,
    /// Arguments.
    pub first: u64,
    /// See `first`.
    pub second: u64,
    /// See `first`.
    pub third: u64,
    /// See `first`.
    pub fourth: u64,
}

/// The system call that ends with these registers (`struct pt_regs`).
#[cfg(all(floor, bpf_target_arch = "x86_64"))]
#[inline(always)]
pub fn at_exit(registers: u64) -> SystemCall {
    // r10, r9, r8, ax, cx, dx, si, di, orig_ax.
    let [fourth, _, _, _, _, third, second, first, number]: [u64; 9] = probe(registers, 56);
    SystemCall {
        number: number as u32,
        first,
        second,
        third,
        fourth,
    }
}

/// The system call that ends with these registers (`struct pt_regs`).
#[cfg(all(floor, bpf_target_arch = "aarch64"))]
#[inline(always)]
pub fn at_exit(registers: u64) -> SystemCall {
    // regs[1] to regs[3]; orig_x0, which regs[0] was before it became the result; syscallno.
    let [second, third, fourth]: [u64; 3] = probe(registers, 8);
    SystemCall {
        number: probe(registers, 280),
        first: probe(registers, 272),
        second,
        third,
        fourth,
    }
}

/// Number and second and third argument of the current system call.
#[cfg(all(not(floor), bpf_target_arch = "x86_64"))]
#[inline(always)]
fn system_call() -> (u32, u64, u64) {
    let registers = registers();
    // struct pt_regs: orig_ax, si, dx.
    (
        load::<u64>(registers, 120) as u32,
        load(registers, 104),
        load(registers, 96),
    )
}

/// Number and second and third argument of the current system call.
#[cfg(all(not(floor), bpf_target_arch = "aarch64"))]
#[inline(always)]
fn system_call() -> (u32, u64, u64) {
    let registers = registers();
    // struct pt_regs: syscallno, regs[1], regs[2].
    (
        load::<u32>(registers, 280),
        load(registers, 8),
        load(registers, 16),
    )
}

#[cfg(not(floor))]
#[inline(always)]
fn registers() -> task::Kernel {
    // SAFETY: the helper takes a task pointer that the verifier trusts.
    unsafe { bpf_task_pt_regs(task::current() as *mut _) as task::Kernel }
}

/// Numbers of system calls.
#[cfg(bpf_target_arch = "x86_64")]
pub mod number {
    pub const READ: u32 = 0;
    pub const WRITE: u32 = 1;
    pub const READV: u32 = 19;
    pub const WRITEV: u32 = 20;
    pub const SENDTO: u32 = 44;
    pub const RECVFROM: u32 = 45;
    pub const SENDMSG: u32 = 46;
    pub const RECVMSG: u32 = 47;
}

/// Numbers of system calls.
#[cfg(bpf_target_arch = "aarch64")]
pub mod number {
    pub const READ: u32 = 63;
    pub const WRITE: u32 = 64;
    pub const READV: u32 = 65;
    pub const WRITEV: u32 = 66;
    pub const SENDTO: u32 = 206;
    pub const RECVFROM: u32 = 207;
    pub const SENDMSG: u32 = 211;
    pub const RECVMSG: u32 = 212;
}

/// The buffer of the current system call; `None` when it is none whose buffers are understood
/// (`sendfile`, `splice`, `recvmmsg`, `io_uring_enter`, …).
#[inline(always)]
pub fn buffer() -> Option<Buffer> {
    let (call, second, third) = system_call();
    match call {
        number::SENDTO | number::RECVFROM | number::READ | number::WRITE => Some(Buffer {
            address: second,
            vectors: 0,
        }),
        number::READV | number::WRITEV => Some(Buffer {
            address: second,
            vectors: third as u32,
        }),
        number::SENDMSG | number::RECVMSG => {
            // struct user_msghdr: name, namelen, iov at 16, iovlen at 24.
            let header: [u64; 2] = read_user(second + 16)?;
            Some(Buffer {
                address: header[0],
                vectors: header[1] as u32,
            })
        }
        _ => None,
    }
}

/// Reads a value from the process's memory.
#[inline(always)]
pub fn read_user<T: Copy + Default>(address: u64) -> Option<T> {
    let mut value = T::default();
    // SAFETY: writes at most `size_of::<T>()` bytes to `value`; the helper checks the source.
    let result = unsafe {
        bpf_probe_read_user(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            address as *const c_void,
        )
    };
    if result == 0 { Some(value) } else { None }
}
