//! The kernel's parser against byte streams, in userspace: the same code that the verifier sees.

mod completion;
mod conversation;
mod encryption;
mod errors;
mod evasion;
mod links;
mod merging;
mod picking;

use crate::protocol::simulation;
