//! bpf(2), as far as measurements need it.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};

/// Commands.
const LOOK_UP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const PROGRAM_BY_ID: libc::c_long = 13;
const MAP_BY_ID: libc::c_long = 14;
const INFO_BY_FD: libc::c_long = 15;
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const ENABLE_STATS: libc::c_long = 32;
/// Where `struct bpf_prog_info` and `struct bpf_map_info` have the name, and how long that is at most.
const PROGRAM_NAME: usize = 64;
const MAP_NAME: usize = 24;
const NAME_LENGTH: usize = 16;

/// Has the kernel count the run time of all programs while the descriptor is open.
pub fn count_run_time() -> io::Result<OwnedFd> {
    // `type` of the attributes: BPF_STATS_RUN_TIME is 0.
    open(ENABLE_STATS, &mut [0])
}

/// A loaded program.
pub fn program(id: u32) -> Result<OwnedFd> {
    open(PROGRAM_BY_ID, &mut [id]).with_context(|| format!("cannot open BPF program {id}"))
}

/// A map.
pub fn map(id: u32) -> Result<OwnedFd> {
    open(MAP_BY_ID, &mut [id]).with_context(|| format!("cannot open BPF map {id}"))
}

/// Attaches a program to the tracepoint that it was loaded for; detached when the descriptor is closed.
pub fn attach(program: BorrowedFd<'_>) -> Result<OwnedFd> {
    // name, prog_fd.
    open(
        RAW_TRACEPOINT_OPEN,
        &mut [0, 0, descriptor(program)?, 0, 0, 0],
    )
    .context("cannot attach a BPF program")
}

/// A program's name, which the kernel cuts after 15 bytes.
pub fn program_name(program: BorrowedFd<'_>) -> Result<String> {
    let mut info = [0u8; PROGRAM_NAME + NAME_LENGTH];
    info_of(program, &mut info)?;
    Ok(text(&info[PROGRAM_NAME..]))
}

/// A map's name, likewise.
pub fn map_name(map: BorrowedFd<'_>) -> Result<String> {
    let mut info = [0u8; MAP_NAME + NAME_LENGTH];
    info_of(map, &mut info)?;
    Ok(text(&info[MAP_NAME..]))
}

/// Copies an array's element to `value`, which is as long.
pub fn look_up(map: BorrowedFd<'_>, index: u32, value: &mut [u8]) -> Result<()> {
    element(LOOK_UP, map, index, value.as_mut_ptr())
        .with_context(|| format!("cannot read element {index} of a BPF map"))
}

/// Replaces an array's element.
pub fn update(map: BorrowedFd<'_>, index: u32, value: &mut [u8]) -> Result<()> {
    element(UPDATE, map, index, value.as_mut_ptr())
        .with_context(|| format!("cannot change element {index} of a BPF map"))
}

fn element(command: libc::c_long, map: BorrowedFd<'_>, index: u32, value: *mut u8) -> Result<()> {
    let key = address((&raw const index).cast());
    let value = address(value);
    // map_fd, key, value, flags.
    let mut attributes = [
        descriptor(map)?,
        0,
        key[0],
        key[1],
        value[0],
        value[1],
        0,
        0,
    ];
    call(command, &mut attributes)?;
    Ok(())
}

fn info_of(object: BorrowedFd<'_>, info: &mut [u8]) -> Result<()> {
    let [low, high] = address(info.as_ptr());
    // bpf_fd, info_len, info.
    let length = u32::try_from(info.len()).context("a length")?;
    let mut attributes = [descriptor(object)?, length, low, high];
    call(INFO_BY_FD, &mut attributes).context("cannot ask for what a BPF object is")?;
    Ok(())
}

fn text(name: &[u8]) -> String {
    let length = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    String::from_utf8_lossy(&name[..length]).into_owned()
}

fn descriptor(descriptor: BorrowedFd<'_>) -> Result<u32> {
    u32::try_from(descriptor.as_raw_fd()).context("a descriptor")
}

/// An address in two halves, as they lie in the attributes.
fn address(pointer: *const u8) -> [u32; 2] {
    let address = pointer as u64;
    [
        (address & u64::from(u32::MAX)) as u32,
        (address >> 32) as u32,
    ]
}

/// bpf(2) for a command that opens something.
fn open(command: libc::c_long, attributes: &mut [u32]) -> io::Result<OwnedFd> {
    let descriptor = call(command, attributes)?;
    // SAFETY: just opened, ours.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn call(command: libc::c_long, attributes: &mut [u32]) -> io::Result<libc::c_int> {
    // SAFETY: the attributes are valid for their length, which the kernel extends with zeros; an address in them is that
    // of a buffer which outlives the call and is as long as the object that they name.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            size_of_val(attributes),
        )
    };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
