//! The kernel's parser against byte streams, in userspace: the same code that the verifier sees.

mod conversation;
mod eight;
mod evasion;
mod phases;
mod wire;

use crate::protocol::simulation;
