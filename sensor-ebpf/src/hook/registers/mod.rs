//! The system call's registers: where the buffer of a socket operation is.
//!
//! All hooks run inside the system call, so its arguments need not be remembered from its entry. What differs from one
//! processor architecture to another has a file for each.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
#[cfg(not(floor))]
use aya_ebpf::helpers::generated::bpf_task_pt_regs;

#[cfg(not(floor))]
use crate::task::{self, load};
#[cfg(floor)]
use crate::{
    floor::system_call,
    task::{probe, probe_to},
};

#[cfg_attr(bpf_target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(bpf_target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(
    floor,
    expect(dead_code, reason = "the lowest rung has no probes on functions")
)]
mod architecture;

pub use architecture::calls;

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

/// Number of the system call with these registers (`struct pt_regs`).
#[cfg(floor)]
#[inline(always)]
pub fn number(registers: u64) -> u32 {
    probe::<architecture::Number>(registers, architecture::NUMBER) as u32
}

#[cfg(floor)]
impl SystemCall {
    /// Takes the whole call in, in place: the stack is short.
    #[inline(always)]
    pub fn fill(&mut self, registers: u64, number: u32) {
        let [first, second, third, fourth] = architecture::ARGUMENTS;
        self.number = number;
        probe_to(&mut self.first, registers, first);
        probe_to(&mut self.second, registers, second);
        probe_to(&mut self.third, registers, third);
        probe_to(&mut self.fourth, registers, fourth);
    }
}

/// Number and second and third argument of the current system call.
#[cfg(not(floor))]
#[inline(always)]
fn system_call() -> (u32, u64, u64) {
    // SAFETY: the helper takes a task pointer that the verifier trusts.
    let registers = unsafe { bpf_task_pt_regs(task::current() as *mut _) as task::Kernel };
    let [_, second, third, _] = architecture::ARGUMENTS;
    (
        load::<architecture::Number>(registers, architecture::NUMBER) as u32,
        load(registers, second),
        load(registers, third),
    )
}

/// The buffer of the current system call; `None` when it is none whose buffers are understood
/// (`sendfile`, `splice`, `recvmmsg`, `io_uring_enter`, …).
#[inline(always)]
pub fn buffer() -> Option<Buffer> {
    let (call, second, third) = system_call();
    match call {
        calls::SENDTO | calls::RECVFROM | calls::READ | calls::WRITE => Some(Buffer {
            address: second,
            vectors: 0,
        }),
        calls::READV | calls::WRITEV => Some(Buffer {
            address: second,
            vectors: third as u32,
        }),
        calls::SENDMSG | calls::RECVMSG => {
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

/// How many bytes the current system call was to send; `None` when it does not say.
#[inline(always)]
pub fn asked() -> Option<u64> {
    let (call, _, third) = system_call();
    (call == calls::SENDTO || call == calls::WRITE).then_some(third)
}

/// Where the function returns to that is being entered with these registers.
///
/// # Safety
/// They are the context of the program that runs.
#[cfg(not(floor))]
#[inline(always)]
pub unsafe fn returns_to(registers: *const c_void) -> Option<u64> {
    // SAFETY: one of them lies there.
    let value = unsafe {
        core::ptr::read_volatile(
            registers
                .byte_add(architecture::RETURN as usize)
                .cast::<u64>(),
        )
    };
    if architecture::RETURN_IS_ON_STACK {
        read_user(value)
    } else {
        Some(value)
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
