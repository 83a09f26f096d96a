//! fexit on the functions of TCP and unix stream sockets that read and write (Linux 5.17 with trampolines), where there
//! are no tracepoints for it: once per socket operation and after it, too, so that the same is seen.
//!
//! What is not: bytes that the kernel sends by itself (`sendfile`, `splice` before Linux 6.5), which no database does.

use core::ffi::c_void;

use aya_ebpf::programs::FExitContext;

use super::{MSG_PEEK, Operation};
use crate::{maps::setting, task::load};

/// `tcp_recvmsg(sk, msg, len, flags, …)`; `None` for a peek.
#[inline(always)]
pub fn receive_tcp(ctx: &FExitContext) -> Option<Operation> {
    if is_peek(ctx) { None } else { send_tcp(ctx) }
}

/// `tcp_sendmsg(sk, msg, size)`.
#[inline(always)]
pub fn send_tcp(ctx: &FExitContext) -> Option<Operation> {
    operation(ctx, ctx.arg(0))
}

/// `unix_stream_recvmsg(sock, msg, size, flags)`; `None` for a peek.
#[inline(always)]
pub fn receive_unix(ctx: &FExitContext) -> Option<Operation> {
    if is_peek(ctx) { None } else { send_unix(ctx) }
}

/// `unix_stream_sendmsg(sock, msg, len)`.
#[inline(always)]
pub fn send_unix(ctx: &FExitContext) -> Option<Operation> {
    // struct socket, whose struct sock the verifier knows by its own type information.
    let socket: *const c_void = ctx.arg(0);
    operation(ctx, load(socket, setting!(offsets.socket_sk)))
}

#[inline(always)]
fn operation(ctx: &FExitContext, sk: *mut c_void) -> Option<Operation> {
    let length = ctx.ret().ok()?;
    if sk.is_null() {
        return None;
    }
    Some(Operation { sk, length })
}

/// Both functions that read have their flags in the fourth place.
#[inline(always)]
fn is_peek(ctx: &FExitContext) -> bool {
    ctx.arg::<i32>(3) & MSG_PEEK != 0
}
