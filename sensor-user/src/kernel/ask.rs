//! Asking the kernel by trying: the smallest programs, loaded and dropped at once. What a kernel's version says is not
//! what it allows (lockdown, a hypervisor's hardening, a build option).

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use btf_rs::{Btf, Type};

/// `BPF_MAP_CREATE`.
const MAP_CREATE: libc::c_long = 0;
/// `BPF_MAP_LOOKUP_ELEM`.
const MAP_LOOKUP_ELEM: libc::c_long = 1;
/// `BPF_PROG_LOAD`.
const PROG_LOAD: libc::c_long = 5;
/// `BPF_RAW_TRACEPOINT_OPEN`.
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;
/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;
/// `BPF_PROG_TYPE_RAW_TRACEPOINT`.
const RAW_TRACEPOINT: u32 = 17;
/// `BPF_PROG_TYPE_TRACING`.
const TRACING: u32 = 26;
/// `BPF_TRACE_RAW_TP`.
const TRACE_RAW_TP: u32 = 23;
/// `BPF_TRACE_FEXIT`.
const TRACE_FEXIT: u32 = 25;

/// The part of `union bpf_attr` that loading a program takes; the kernel takes what follows for zeros.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// An instruction as the kernel has it: `code`, registers, offset, immediate.
pub const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = immediate.to_le_bytes();
    u64::from_le_bytes([code, registers, low, high, a, b, c, d])
}

/// `r0 = 0`.
pub const ZERO: u64 = instruction(0xb7, 0, 0, 0);
/// `exit`.
pub const EXIT: u64 = instruction(0x95, 0, 0, 0);

/// Does bpf(2) reach the kernel? A command that no kernel knows is `EINVAL` to whoever holds `CAP_BPF`; filters of system
/// calls say something else.
///
/// # Errors
/// What is said instead.
pub fn call() -> io::Result<()> {
    const NO_COMMAND: libc::c_long = 0x7fff_ffff;
    // SAFETY: the command reads nothing: its attributes are empty.
    let result = unsafe { libc::syscall(libc::SYS_bpf, NO_COMMAND, std::ptr::null::<u8>(), 0) };
    let error = io::Error::last_os_error();
    if result < 0 && matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) {
        return Err(error);
    }
    Ok(())
}

/// May a program be put on this tracepoint with its typed arguments?
///
/// # Errors
/// What the kernel says, `NotFound` when its type information does not know the tracepoint.
pub fn tracepoint(btf: &Btf, name: &str) -> io::Result<()> {
    let id = id(btf, &format!("btf_trace_{name}"), |found| {
        matches!(found, Type::Typedef(_))
    })?;
    load(TRACING, TRACE_RAW_TP, id, &[ZERO, EXIT]).map(drop)
}

/// May a program be put at the end of this function? It is, for a moment: arm64's kernels before 6.4 load such programs
/// and attach none.
///
/// # Errors
/// What the kernel says, `NotFound` when its type information does not know the function.
pub fn function_exit(btf: &Btf, name: &str) -> io::Result<()> {
    at_function_exit(btf, name, &[ZERO, EXIT]).map(drop)
}

/// Puts a program at the end of this function, for as long as what is returned lives.
///
/// # Errors
/// As with [`function_exit`].
pub fn at_function_exit(btf: &Btf, name: &str, program: &[u64]) -> io::Result<OwnedFd> {
    let id = id(btf, name, |found| matches!(found, Type::Func(_)))?;
    let program = load(TRACING, TRACE_FEXIT, id, program)?;
    // Name (none: the program knows its function), descriptor.
    let attributes: [u64; 2] = [0, u64::from(program.as_raw_fd().unsigned_abs())];
    make(RAW_TRACEPOINT_OPEN, &attributes)
}

/// A number that programs can write: an array of one.
///
/// # Errors
/// What the kernel says.
pub fn number() -> io::Result<OwnedFd> {
    // Type, bytes of a key, of a value, entries.
    make(MAP_CREATE, &[ARRAY, 4, 4, 1])
}

/// What stands there.
///
/// # Errors
/// What the kernel says.
pub fn value(number: &OwnedFd) -> io::Result<u32> {
    let (key, mut value) = (0u32, 0u32);
    let attributes: [u64; 4] = [
        u64::from(number.as_raw_fd().unsigned_abs()),
        (&raw const key) as u64,
        (&raw mut value) as u64,
        0,
    ];
    bpf(MAP_LOOKUP_ELEM, &attributes)?;
    Ok(value)
}

/// Does it know atomic operations that return what was there before (BPF instruction set v3)?
///
/// # Errors
/// What the kernel says.
pub fn fetch_atomics() -> io::Result<()> {
    // *(u64 *)(r10 - 8) = 0; r1 = 1; r1 = xchg_64(r10 - 8, r1); r0 = 0; exit
    load(
        RAW_TRACEPOINT,
        0,
        0,
        &[
            instruction(0x7a, 10, -8, 0),
            instruction(0xb7, 1, 0, 1),
            instruction(0xdb, 0x1a, -8, 0xe1),
            ZERO,
            EXIT,
        ],
    )
    .map(drop)
}

/// Does its type information list a helper function (`loop` for `bpf_loop`)?
pub fn has_helper(btf: &Btf, name: &str) -> bool {
    let wanted = format!("BPF_FUNC_{name}");
    let Ok(found) = btf.resolve_types_by_name("bpf_func_id") else {
        return false;
    };
    found.iter().any(|found| match found {
        Type::Enum(list) => list
            .members
            .iter()
            .any(|member| btf.resolve_name(member).is_ok_and(|name| name == wanted)),
        _ => false,
    })
}

/// Number of a kernel function in the kernel's type information.
pub fn id_of_function(btf: &Btf, name: &str) -> Option<u32> {
    id(btf, name, |found| matches!(found, Type::Func(_))).ok()
}

fn id(btf: &Btf, name: &str, is: impl Fn(&Type) -> bool) -> io::Result<u32> {
    btf.resolve_ids_by_name(name)
        .unwrap_or_default()
        .into_iter()
        .find(|id| btf.resolve_type_by_id(*id).is_ok_and(|found| is(&found)))
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "this kernel has no {}",
                    name.trim_start_matches("btf_trace_")
                ),
            )
        })
}

fn load(
    prog_type: u32,
    expected_attach_type: u32,
    id: u32,
    program: &[u64],
) -> io::Result<OwnedFd> {
    let license = c"Dual MIT/GPL";
    let attributes = Load {
        prog_type,
        insn_cnt: u32::try_from(program.len()).unwrap_or(u32::MAX),
        insns: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        expected_attach_type,
        attach_btf_id: id,
        ..Load::default()
    };
    make(PROG_LOAD, &attributes)
}

/// A call of bpf(2) that makes something.
fn make<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    let descriptor = bpf(command, attributes)?;
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A call of bpf(2).
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    // SAFETY: the attributes, and what they point to, live through the call; the kernel writes only where a command has it write.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    i32::try_from(result)
        .ok()
        .filter(|result| *result >= 0)
        .ok_or_else(io::Error::last_os_error)
}
