//! Registers of aarch64: `struct pt_regs` of `arch/arm64/include/asm/ptrace.h`, `asm-generic/unistd.h`.

/// `syscallno`.
pub const NUMBER: u32 = 280;
/// Its type.
pub type Number = u32;
/// `orig_x0`, which `regs[0]` was before it became the result, and `regs[1]` to `regs[3]`.
pub const ARGUMENTS: [u32; 4] = [272, 8, 16, 24];

/// `regs[30]`: where a function returns to that is being entered.
pub const RETURN: u32 = 240;
/// Does it lie on the stack?
pub const RETURN_IS_ON_STACK: bool = false;

/// Numbers of system calls.
pub mod calls {
    pub const READ: u32 = 63;
    pub const WRITE: u32 = 64;
    pub const READV: u32 = 65;
    pub const WRITEV: u32 = 66;
    pub const SENDTO: u32 = 206;
    pub const RECVFROM: u32 = 207;
    pub const SENDMSG: u32 = 211;
    pub const RECVMSG: u32 = 212;
}
