//! Registers of x86-64: `struct pt_regs` of `arch/x86/include/asm/ptrace.h`, `syscall_64.tbl`.

/// `orig_ax`.
pub const NUMBER: u32 = 120;
/// Its type.
pub type Number = u64;
/// `di`, `si`, `dx`, `r10`.
pub const ARGUMENTS: [u32; 4] = [112, 104, 96, 56];

/// `sp`, which points to where a function returns to that is being entered.
pub const RETURN: u32 = 152;
/// Does it lie on the stack?
pub const RETURN_IS_ON_STACK: bool = true;

/// Numbers of system calls.
pub mod calls {
    pub const READ: u32 = 0;
    pub const WRITE: u32 = 1;
    pub const READV: u32 = 19;
    pub const WRITEV: u32 = 20;
    pub const SENDTO: u32 = 44;
    pub const RECVFROM: u32 = 45;
    pub const SENDMSG: u32 = 46;
    pub const RECVMSG: u32 = 47;
}
