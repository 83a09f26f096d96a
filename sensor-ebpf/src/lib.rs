//! Types that the kernel programs and userspace share, and the parts of the kernel path that hold no kernel call:
//! wire protocol, fingerprint. Those compile for the host too, where unit tests drive them with real byte streams.
#![cfg_attr(target_arch = "bpf", no_std, feature(asm_experimental_arch))]

pub mod bytes;
pub mod connection;
pub mod errno;
pub mod fingerprint;
pub mod link;
pub mod loops;
pub mod merged;
pub mod picked;
pub mod program;
pub mod protocol;
#[cfg(test)]
mod random;
pub mod record;
pub mod scratch;
pub mod settings;
pub mod sqlstate;
pub mod tags;
pub mod tied;
