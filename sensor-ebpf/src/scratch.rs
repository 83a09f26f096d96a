//! Working memory of one operation, one per CPU.
//!
//! State of loops lives here and not on the stack: the verifier knows nothing of what is in a map's value, so it checks
//! a loop's body once for any state. On the stack it would follow each combination of values, and give up.

use crate::{bytes::Window, fingerprint::{Hashed, Lexer}, protocol::Walk};

/// See the module.
#[repr(C)]
pub struct Scratch {
    /// Bytes of the operation.
    pub window: Window,
    /// What the fingerprint's pass over a text found.
    pub hashed: Hashed,
    /// The lexer of the fingerprint.
    pub lexer: Lexer,
    /// The walk over messages.
    pub walk: Walk,
}

impl Scratch {
    /// Empty working memory (tests; in the kernel it is a per-CPU map's value).
    #[cfg(not(target_arch = "bpf"))]
    pub fn boxed() -> Box<Self> {
        // SAFETY: integers, booleans and enums that have a variant of value zero.
        unsafe { Box::new(core::mem::zeroed()) }
    }
}
