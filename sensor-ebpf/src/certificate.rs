//! The name in a client's certificate, as PostgreSQL's server takes it out once TLS has verified it: see docs/decisions/tls.md.
//!
//! Right after its handshake the server asks libcrypto for the subject's common name, when the client has shown a certificate
//! and never else. Whatever else a backend has loaded may ask, too, about anybody's certificate (LDAP, untrusted languages): a call
//! counts when it comes from the server's own executable, which has that one place only.

use core::ffi::c_void;

use aya_ebpf::{btf_maps::LruHashMap, helpers::generated::bpf_probe_read_user, macros::btf_map};
use sensor_ebpf::{
    bytes::opaque,
    connection::{CONNECTION_CLOSED, Connection, Phase, Protocol},
    record::{CERTIFICATE_NAME, CertificateRecord, RecordKind, TEXT_TRUNCATED},
    tied,
};

use crate::{
    hook::registers,
    maps::{BACKENDS, count, setting},
    ring, state,
    task::{self, probe},
};

/// `NID_commonName`.
const COMMON_NAME: i32 = 13;

/// Where the name goes that a thread asks for. Calls are short: few are under way at a time.
#[btf_map]
static ASKED: LruHashMap<u64, u64, 1024> = LruHashMap::new();

/// Is the program that runs a server whose clients' certificates are looked at? Others have the library in their memory, too.
#[inline(always)]
pub fn concerns() -> bool {
    task::is_server() && task::protocol() == Protocol::Postgres
}

/// Somebody asks for a part of a name. Without a buffer it is for its length, which says nothing.
#[inline(always)]
pub fn begins(registers: *const c_void, kind: i32, buffer: u64) {
    let thread = task::thread();
    // SAFETY: the caller's context.
    let caller = unsafe { registers::returns_to(registers) };
    if kind == COMMON_NAME && buffer != 0 && caller.is_some_and(is_executables) {
        let _ = ASKED.insert(&thread, &buffer, 0);
    } else {
        let _ = ASKED.remove(&thread);
    }
}

/// Does this address lie in the code of the process's executable?
#[inline(always)]
fn is_executables(address: u64) -> bool {
    let memory: u64 = probe(task::current() as u64, setting!(offsets.task_mm));
    probe::<u64>(memory, setting!(offsets.mm_start_code)) <= address
        && address < probe::<u64>(memory, setting!(offsets.mm_end_code))
}

/// It was answered, by so many bytes.
#[inline(always)]
pub fn ends(returned: i32) {
    let thread = task::thread();
    let Some(buffer) = ASKED.get_ptr(&thread) else {
        return;
    };
    // SAFETY: copied out at once.
    let buffer = unsafe { *buffer };
    let _ = ASKED.remove(&thread);
    if returned > 0
        && let Some(c) = handshake()
    {
        tell(c, buffer, returned as u32);
    }
}

/// The connection that the process serves, when it is in its handshake, or its plaintext is not seen.
#[inline(always)]
fn handshake<'a>() -> Option<&'a mut Connection> {
    let backend = BACKENDS.get_ptr(&task::tgid())?;
    // SAFETY: copied out at once.
    let backend = unsafe { *backend };
    state::slot(backend.slot as u32).filter(|c| {
        c.id == backend.id
            && !c.has(CONNECTION_CLOSED)
            && !tied::is_tied(c)
            && (c.phase == Phase::Handshake as u8 || c.phase == Phase::Encrypted as u8)
    })
}

#[inline(always)]
fn tell(c: &Connection, buffer: u64, length: u32) {
    const MOST: u32 = CERTIFICATE_NAME as u32 - 1;
    let id = c.id;
    let (kept, flags) = if length > MOST {
        (MOST, TEXT_TRUNCATED)
    } else {
        (length, 0)
    };
    let sent = ring::emit(|record: &mut CertificateRecord| {
        record.header = ring::header(RecordKind::Certificate, flags, 0, id);
        // SAFETY: masked to less than the array's length, a power of two.
        let read = unsafe {
            bpf_probe_read_user(
                (&raw mut record.name).cast(),
                opaque(kept) & MOST,
                buffer as *const c_void,
            )
        };
        record.header.detail = if read == 0 { kept } else { 0 };
    });
    if !sent {
        count!(ring_full, 1);
    }
}
