//! `BPF_PROG_TEST_RUN`, which aya has no call for.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

/// Of `enum bpf_cmd`.
const BPF_PROG_TEST_RUN: libc::c_long = 10;

/// `union bpf_attr`, the part that is called `test`.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// Runs a raw tracepoint program that takes no arguments, once, on this CPU.
///
/// # Errors
/// The kernel's: it wants Linux 5.10.
pub fn run(program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = TestRun {
        prog_fd: u32::try_from(program.as_raw_fd()).unwrap_or(u32::MAX),
        ..TestRun::default()
    };
    // Kernels before 5.18 know no `batch_size`, and take a size that ends in front of it.
    let size = std::mem::offset_of!(TestRun, batch_size);
    // SAFETY: the attributes are what the command wants and live as long as the call; the kernel writes within `size`.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut attributes, size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
