//! Working memory of one operation, one per CPU.
//!
//! State of loops lives here and not on the stack: the verifier knows nothing of what is in a map's value, so it checks
//! a loop's body once for any state. On the stack it would follow each combination of values, and give up.

use crate::{
    bytes::Window,
    fingerprint::{Hashed, Lexer},
    picked::{Keyer, Walked},
    protocol::{Walk, mysql, redis},
    record::OverflowKey,
    tags,
};

/// See the module.
#[repr(C)]
pub struct Scratch {
    /// The walk over messages.
    pub walk: Walk,
    /// The lexer of the fingerprint.
    pub lexer: Lexer,
    /// What its pass over a text found.
    pub hashed: Hashed,
    /// Of the requests that are being taken off: an error came before.
    #[cfg(floor)]
    pub failed: bool,
    /// What the server sent is to be walked.
    #[cfg(floor)]
    pub walks: bool,
    /// The message that is to be taken next.
    #[cfg(floor)]
    pub taken: crate::protocol::postgres::Taken,
    /// The pass over a statement's keys.
    pub keyer: Keyer,
    /// By what [`Self::walked`] is found.
    pub walked_key: OverflowKey,
    /// How far a statement's keys have walked, when it is the first time. Both here for want of stack.
    pub walked: Walked,
    /// What MySQL's clients put in front of a text.
    pub attributes: mysql::Attributes,
    /// What a request of Redis' begins with.
    pub head: redis::Head,
    /// Its first key.
    pub parts: redis::Parts,
    /// The request of Redis' in front of the one at hand.
    pub before: redis::Before,
    /// Completions of Redis' that one send brings.
    pub run: redis::Run,
    /// The walk over a comment's tags.
    pub tags: tags::Walk,
    /// Bytes of the operation. Last, so that a short statement lies in the same page as all the rest.
    pub window: Window,
}

impl Scratch {
    /// Empty working memory (tests; in the kernel it is a per-CPU map's value).
    #[cfg(not(target_arch = "bpf"))]
    pub fn boxed() -> Box<Self> {
        // SAFETY: integers, booleans and enums that have a variant of value zero.
        unsafe { Box::new(core::mem::zeroed()) }
    }
}
