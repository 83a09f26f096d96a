//! Hooks: each family turns its arguments into one [`Operation`].

use core::ffi::c_void;

#[cfg(not(floor))]
pub mod fexit;
pub mod registers;
#[cfg(floor)]
pub mod sys_exit;
#[cfg(not(floor))]
pub mod tp_btf;

/// Reads with this flag consume nothing: the bytes come again.
const MSG_PEEK: i32 = 2;

/// Which way the bytes of an operation went, seen from the process that runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Read from the socket.
    Received,
    /// Written to it.
    Sent,
}

/// One socket operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// `struct sock`, a BTF pointer.
    pub sk: *mut c_void,
    /// Its result: bytes, or a negative errno.
    pub length: i32,
}
