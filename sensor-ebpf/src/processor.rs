//! Holding the processor: no other task gets it while a program works, where the kernel would give it away (Linux 7.0 and later).
//!
//! The kernel's functions for that have no helper's number, and the crates for kernel programs know none but helpers. So the calls stand here
//! with numbers that no helper has, and the loader puts the kernel's own in their place (`kernel/functions.rs` in userspace). Where it does not,
//! the settings say so (`holds`, `holds_in_library`), and the verifier takes the calls away before it looks at them.

use core::{arch::asm, mem::MaybeUninit};

use sensor_ebpf::program::{LOCAL_IRQ_RESTORE, LOCAL_IRQ_SAVE, PREEMPT_DISABLE, PREEMPT_ENABLE};

use crate::maps::setting;

/// A call of a function with one argument, in r1, or none.
macro_rules! call {
    ($function:expr, $argument:expr) => {
        // SAFETY: by the convention of calls in BPF programs; what the function does stands where this is used.
        unsafe {
            asm!(
                "call {function}",
                function = const $function,
                inout("r1") $argument => _,
                out("r0") _,
                out("r2") _,
                out("r3") _,
                out("r4") _,
                out("r5") _,
            );
        }
    };
}

/// The task that runs keeps the processor until [`let_go`].
#[inline(always)]
pub fn hold() {
    if setting!(holds) != 0 {
        disable();
    }
}

/// It may be taken from it again.
#[inline(always)]
pub fn let_go() {
    if setting!(holds) != 0 {
        enable();
    }
}

/// As [`hold`], in a program on a library.
#[cfg(not(floor))]
#[inline(always)]
pub fn hold_in_library() {
    if setting!(holds_in_library) != 0 {
        disable();
    }
}

/// As [`let_go`], behind [`hold_in_library`].
#[cfg(not(floor))]
#[inline(always)]
pub fn let_go_in_library() {
    if setting!(holds_in_library) != 0 {
        enable();
    }
}

#[inline(always)]
fn disable() {
    call!(PREEMPT_DISABLE, 0u64);
}

/// Whoever wants the processor by now would get it at once, still within this program, and the kernel would pass over the
/// program for as long as that takes. Not so with interrupts disabled: then it has to wait for the next occasion, which is behind the
/// program's end. A call of its own: the flags need stack.
#[inline(never)]
fn enable() {
    let mut flags = MaybeUninit::<u64>::uninit();
    call!(LOCAL_IRQ_SAVE, flags.as_mut_ptr());
    call!(PREEMPT_ENABLE, 0u64);
    call!(LOCAL_IRQ_RESTORE, flags.as_mut_ptr());
}
