//! The task that runs: is it a database server's, and fields of it by offset.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
#[cfg(floor)]
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_get_current_task};
#[cfg(not(floor))]
use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_task_btf};
use core::ffi::c_void;
use sensor_ebpf::{connection::Protocol, settings::COMMANDS};

use crate::maps::setting;

/// A typed kernel pointer as the verifier knows it.
pub type Kernel = *const c_void;

/// The current task.
#[inline(always)]
pub fn current() -> Kernel {
    // SAFETY: a helper without arguments.
    #[cfg(not(floor))]
    unsafe {
        bpf_get_current_task_btf() as Kernel
    }
    // SAFETY: likewise.
    #[cfg(floor)]
    unsafe {
        bpf_get_current_task() as Kernel
    }
}

/// Loads a field of a kernel object that the verifier tracks (a trusted BTF pointer): one instruction.
///
/// The offset comes from read-only settings, so that the verifier knows it and checks the access against the kernel's
/// own BTF.
#[cfg(not(floor))]
#[inline(always)]
pub fn load<T: Copy>(object: Kernel, offset: u32) -> T {
    // SAFETY: the verifier has proven the access.
    unsafe { core::ptr::read_volatile(object.byte_add(offset as usize).cast::<T>()) }
}

/// Loads a field of a kernel object. The lowest rung knows no typed pointers: all go through a helper.
#[cfg(floor)]
#[inline(always)]
pub fn load<T: Copy>(object: Kernel, offset: u32) -> T {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: writes at most `size_of::<T>()` bytes to `value`; the helper checks the source. Fields are integers or
    // pointers, for which zeroes are values.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            (object as u64 + u64::from(offset)) as *const c_void,
        );
        value.assume_init()
    }
}

/// Loads a field through an address that the verifier does not track; zero when it can't be read.
#[inline(always)]
pub fn probe<T: Copy + Default>(address: u64, offset: u32) -> T {
    let mut value = T::default();
    if address != 0 {
        // SAFETY: writes at most `size_of::<T>()` bytes to `value`; the helper checks the source.
        unsafe {
            bpf_probe_read_kernel(
                (&raw mut value).cast(),
                size_of::<T>() as u32,
                (address + u64::from(offset)) as *const c_void,
            );
        }
    }
    value
}

/// Loads a field through an address that the verifier does not track to a place in a map; zero when it can't be read.
#[cfg(floor)]
#[inline(always)]
pub fn probe_to(place: &mut u64, address: u64, offset: u32) {
    // SAFETY: writes eight bytes; the helper checks the source, and leaves zeros where it can't be read.
    unsafe {
        bpf_probe_read_kernel(
            core::ptr::from_mut(place).cast(),
            size_of::<u64>() as u32,
            (address + u64::from(offset)) as *const c_void,
        );
    }
}

/// Does the current task's command name say that it belongs to a database server?
///
/// First of all checks, so that it costs every other process on the host a few instructions a socket operation.
#[inline(always)]
pub fn is_server() -> bool {
    let task = current();
    if is_known(command(task)) {
        return true;
    }
    // A server of many threads may name each for what it does.
    #[cfg(not(floor))]
    if watches_foreign() {
        let leader: Kernel = load(task, setting!(offsets.task_group_leader));
        return leader != task && is_one_of(foreign_commands(), command(leader));
    }
    false
}

/// Are servers watched that speak another protocol than PostgreSQL's? Then threads serve connections.
#[cfg(not(floor))]
#[inline(always)]
pub fn watches_foreign() -> bool {
    foreign_commands() != 0
}

#[cfg(not(floor))]
#[inline(always)]
fn foreign_commands() -> u64 {
    setting!(mysql_commands) | setting!(redis_commands)
}

#[inline(always)]
fn is_known(name: [u64; 2]) -> bool {
    let mut i = 0;
    while i < COMMANDS {
        let a = setting!(commands[i][0]);
        let b = setting!(commands[i][1]);
        if a == 0 {
            return false;
        }
        if name[0] == a && name[1] == b {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(not(floor))]
#[inline(always)]
fn is_one_of(commands: u64, name: [u64; 2]) -> bool {
    let mut i = 0;
    while i < COMMANDS {
        if commands >> i & 1 != 0
            && name[0] == setting!(commands[i][0])
            && name[1] == setting!(commands[i][1])
        {
            return true;
        }
        i += 1;
    }
    false
}

/// What the server speaks that the current task, one of its, belongs to.
#[cfg(not(floor))]
#[inline(always)]
pub fn protocol() -> Protocol {
    if is_pooler(command(leader())) {
        Protocol::Pooled
    } else if is_one_of(setting!(mysql_commands), command(leader())) {
        Protocol::MySql
    } else if is_one_of(setting!(redis_commands), command(leader())) {
        Protocol::Redis
    } else {
        Protocol::Postgres
    }
}

/// The lowest rung knows no other.
#[cfg(floor)]
#[inline(always)]
pub fn protocol() -> Protocol {
    if is_pooler(command(current())) {
        Protocol::Pooled
    } else {
        Protocol::Postgres
    }
}

/// Is this the command name of PgBouncer? What may stand behind its NUL is not looked at.
#[inline(always)]
fn is_pooler(name: [u64; 2]) -> bool {
    name[0] == u64::from_ne_bytes(*b"pgbounce") && name[1] as u16 == u16::from_ne_bytes(*b"r\0")
}

/// The task that its process began with.
#[inline(always)]
pub fn leader() -> Kernel {
    load(current(), setting!(offsets.task_group_leader))
}

/// Its command name, NUL-padded.
#[cfg(not(floor))]
#[inline(always)]
fn command(task: Kernel) -> [u64; 2] {
    let comm = setting!(offsets.task_comm);
    [load(task, comm), load(task, comm + 8)]
}

/// Its command name, NUL-padded by the helper: before Linux 5.17, the end of a longer name that the process had before it
/// executed another program stays behind the NUL.
#[cfg(floor)]
#[inline(always)]
fn command(_: Kernel) -> [u64; 2] {
    let mut name = [0; 2];
    // SAFETY: writes sixteen bytes to a local of sixteen.
    unsafe { bpf_get_current_comm(name.as_mut_ptr().cast(), size_of_val(&name) as u32) };
    name
}

/// Process id (tgid) of the current task, as the host sees it.
#[inline(always)]
pub fn tgid() -> u32 {
    load(current(), setting!(offsets.task_tgid))
}

/// Numbers of the process, in the upper half, and of its thread.
#[cfg(not(floor))]
#[inline(always)]
pub fn thread() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_pid_tgid() }
}
