//! Message types and framing.

/// Length of a typed message's header: type and length.
pub const HEADER: u32 = 5;
/// `ReadyForQuery`: type, length, status.
pub const READY_LENGTH: u32 = 6;
/// Longest message that the protocol allows (`PQ_LARGE_MESSAGE_LIMIT`, 1 GiB less one).
pub const LARGEST: u32 = 0x3fff_ffff;

/// May a frontend send this type after start-up?
#[inline(always)]
pub fn is_frontend(kind: u8) -> bool {
    is_in(kind, FRONTEND)
}

/// May a backend send this type?
#[inline(always)]
pub fn is_backend(kind: u8) -> bool {
    is_in(kind, BACKEND)
}

/// Bit sets over the byte values 64–127: one shift instead of a chain of comparisons.
const FRONTEND: u64 = set(b"QPBECDSHFXdcfp");
const BACKEND: u64 = set(b"RKZCDEITNSVvtnGHWdcsA");
/// Backend types below 64: `'1'`, `'2'`, `'3'` (Parse-, Bind-, CloseComplete).
#[inline(always)]
fn is_in(kind: u8, members: u64) -> bool {
    if kind >= 64 {
        kind < 128 && members >> (kind & 63) & 1 != 0
    } else {
        members == BACKEND && (b'1'..=b'3').contains(&kind)
    }
}

const fn set(kinds: &[u8]) -> u64 {
    let mut members = 0;
    let mut i = 0;
    while i < kinds.len() {
        members |= 1 << (kinds[i] & 63);
        i += 1;
    }
    members
}
