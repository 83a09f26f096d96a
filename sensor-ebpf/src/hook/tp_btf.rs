//! `tp_btf/sock_recv_length` and `tp_btf/sock_send_length` (Linux 6.3): once per socket operation, whatever the system
//! call, with the result but without the buffer.
//!
//! <https://github.com/torvalds/linux/blob/v6.3/include/trace/events/sock.h>

use aya_ebpf::programs::BtfTracePointContext;

use super::{MSG_PEEK, Operation};

/// Arguments of `sock_recv_length(sk, ret, flags)`; `None` for a peek.
#[inline(always)]
pub fn receive(ctx: &BtfTracePointContext) -> Option<Operation> {
    if ctx.arg::<i32>(2) & MSG_PEEK != 0 {
        return None;
    }
    send(ctx)
}

/// Arguments of `sock_send_length(sk, ret, flags)`.
#[inline(always)]
pub fn send(ctx: &BtfTracePointContext) -> Option<Operation> {
    Some(Operation {
        sk: ctx.arg(0),
        length: ctx.arg(1),
    })
}
