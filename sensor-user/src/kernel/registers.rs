//! Where a system call's registers are, by the same table that the kernel programs are built with: held against libc's
//! numbers when this is compiled, and against the kernel's own type information when it runs.

use anyhow::{Result, bail};
use btf_rs::Btf;

use super::offsets::offset;

#[cfg_attr(
    target_arch = "x86_64",
    path = "../../../sensor-ebpf/src/hook/registers/x86_64.rs"
)]
#[cfg_attr(
    target_arch = "aarch64",
    path = "../../../sensor-ebpf/src/hook/registers/aarch64.rs"
)]
mod table;

/// A wrong number would make operations blind on the other processor, where nothing runs when this is built.
const _: () = {
    use table::calls;
    assert!(calls::READ as libc::c_long == libc::SYS_read);
    assert!(calls::WRITE as libc::c_long == libc::SYS_write);
    assert!(calls::READV as libc::c_long == libc::SYS_readv);
    assert!(calls::WRITEV as libc::c_long == libc::SYS_writev);
    assert!(calls::SENDTO as libc::c_long == libc::SYS_sendto);
    assert!(calls::RECVFROM as libc::c_long == libc::SYS_recvfrom);
    assert!(calls::SENDMSG as libc::c_long == libc::SYS_sendmsg);
    assert!(calls::RECVMSG as libc::c_long == libc::SYS_recvmsg);
    assert!(table::RETURN_IS_ON_STACK == cfg!(target_arch = "x86_64"));
    // The kernel keeps it aligned.
    assert!((table::NUMBER as usize).is_multiple_of(size_of::<table::Number>()));
};

/// Fields of `struct pt_regs` that the table stands for: the number, four arguments, and where a function returns to.
#[cfg(target_arch = "x86_64")]
const FIELDS: [(&str, u32); 6] = [
    ("orig_ax", 0),
    ("di", 0),
    ("si", 0),
    ("dx", 0),
    ("r10", 0),
    ("sp", 0),
];
/// The same of aarch64, where the first argument's register takes the result.
#[cfg(target_arch = "aarch64")]
const FIELDS: [(&str, u32); 6] = [
    ("syscallno", 0),
    ("orig_x0", 0),
    ("regs", 8),
    ("regs", 16),
    ("regs", 24),
    ("regs", 240),
];

/// Refuses a kernel that keeps them elsewhere.
///
/// # Errors
/// Likewise.
pub fn check(btf: &Btf) -> Result<()> {
    let [first, second, third, fourth] = table::ARGUMENTS;
    for ((field, inside), expected) in
        FIELDS
            .into_iter()
            .zip([table::NUMBER, first, second, third, fourth, table::RETURN])
    {
        let found = offset(btf, "pt_regs", field)? + inside;
        if found != expected {
            bail!(
                "this kernel keeps pt_regs.{field} at {found}, the sensor reads it at {expected}: please report the kernel version"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_keeps_them_where_the_programs_look() {
        check(&crate::kernel::offsets::vmlinux().expect("BTF of the running kernel"))
            .expect("the table");
    }
}
