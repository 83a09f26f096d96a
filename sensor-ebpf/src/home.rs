//! Where an operation finds what its connection rarely needs, and which working memory is its: that differs between programs
//! on sockets and those on functions of a TLS library, which have no typed pointer to a socket.

use core::ffi::c_void;

#[cfg(not(floor))]
use aya_ebpf::helpers::generated::bpf_sk_storage_delete;
use sensor_ebpf::connection::{Connection, Partial, Queue, Rest};

#[cfg(not(floor))]
use crate::maps::setting;
use crate::{
    identity,
    maps::{PARTIALS, QUEUES, RESTS, raw, storage},
};

/// See the module.
pub trait Home {
    /// Can the bytes lie in several pieces?
    const SCATTERED: bool;
    /// Which working memory.
    fn place() -> u32;
    /// Requests of a client that pipelines; made when `flags` say so.
    fn queue<'a>(&self, flags: u64) -> Option<&'a mut Queue>;
    /// The second half of their ring; likewise.
    fn rest<'a>(&self, flags: u64) -> Option<&'a mut Rest>;
    /// The beginning of a message that a read split; made when `flags` say so.
    fn partial<'a>(&self, flags: u64) -> Option<&'a mut Partial>;
    /// Frees it.
    fn drop_partial(&self);
    /// What TCP itself has counted.
    fn tcp_counts(&self, connection: &Connection) -> (u32, u32);
    /// The connection is over.
    fn forget(&self, connection: &Connection);
}

/// That of a socket operation: the socket, a BTF pointer, in a `program::Program` (as a number).
pub struct Socket<const PROGRAM: usize>(pub *mut c_void);

impl<const PROGRAM: usize> Home for Socket<PROGRAM> {
    const SCATTERED: bool = true;

    #[inline(always)]
    fn place() -> u32 {
        #[cfg(floor)]
        return 0;
        // A constant to the verifier.
        #[cfg(not(floor))]
        setting!(places[PROGRAM])
    }

    #[inline(always)]
    fn queue<'a>(&self, flags: u64) -> Option<&'a mut Queue> {
        storage(raw(&QUEUES), self.0, flags)
    }

    #[inline(always)]
    fn rest<'a>(&self, flags: u64) -> Option<&'a mut Rest> {
        storage(raw(&RESTS), self.0, flags)
    }

    #[inline(always)]
    fn partial<'a>(&self, flags: u64) -> Option<&'a mut Partial> {
        storage(raw(&PARTIALS), self.0, flags)
    }

    #[inline(always)]
    fn drop_partial(&self) {
        #[cfg(floor)]
        crate::floor::drop_partial();
        // SAFETY: map and socket are what the helper wants.
        #[cfg(not(floor))]
        unsafe {
            bpf_sk_storage_delete(raw(&PARTIALS), self.0)
        };
    }

    #[inline(always)]
    fn tcp_counts(&self, _: &Connection) -> (u32, u32) {
        identity::tcp_counts(self.0)
    }

    #[inline(always)]
    fn forget(&self, connection: &Connection) {
        #[cfg(floor)]
        crate::floor::forget(connection.slot);
        #[cfg(not(floor))]
        let _ = connection;
    }
}
