//! What a socket operation returns when it will be tried again.

/// `-EAGAIN`: nothing to read yet, or no room to write to.
pub const AGAIN: i32 = -11;
/// `-EINTR`.
pub const INTERRUPTED: i32 = -4;
/// `-ERESTARTSYS`: the kernel repeats the call.
pub const RESTART: i32 = -512;

/// Does the operation come again?
#[inline(always)]
pub fn is_again(length: i32) -> bool {
    length == AGAIN || length == INTERRUPTED || length == RESTART
}
