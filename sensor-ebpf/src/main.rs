//! Kernel programs of the sensor: entry points only. Hook in, named steps, return.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!(
        "sensor-bpf is a kernel program: build it for bpfel-unknown-none (`cargo xtask build` does)"
    );
    std::process::exit(2);
}

#[cfg(all(target_arch = "bpf", not(floor)))]
mod certificate;
#[cfg(target_arch = "bpf")]
mod client;
#[cfg(target_arch = "bpf")]
mod doubled;
#[cfg(floor)]
mod floor;
#[cfg(all(target_arch = "bpf", not(floor)))]
mod handover;
#[cfg(target_arch = "bpf")]
mod home;
#[cfg(target_arch = "bpf")]
mod hook;
#[cfg(target_arch = "bpf")]
mod identity;
#[cfg(target_arch = "bpf")]
mod links;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
#[cfg_attr(floor, path = "floor/merge.rs")]
mod merge;
#[cfg(target_arch = "bpf")]
mod processor;
#[cfg(target_arch = "bpf")]
mod ring;
#[cfg(target_arch = "bpf")]
mod server;
#[cfg(target_arch = "bpf")]
mod state;
#[cfg(target_arch = "bpf")]
mod surroundings;
#[cfg(target_arch = "bpf")]
mod task;
#[cfg(all(target_arch = "bpf", not(floor)))]
mod tls;

#[cfg(all(target_arch = "bpf", not(floor)))]
mod programs {
    use aya_ebpf::{
        macros::{btf_tracepoint, fexit, raw_tracepoint, uprobe, uretprobe},
        programs::{
            BtfTracePointContext, FExitContext, ProbeContext, RawTracePointContext, RetProbeContext,
        },
    };

    use sensor_ebpf::program::Program;

    use crate::{
        certificate, client, doubled,
        handover::{
            self, SOCK_RECV_LENGTH, SOCK_SEND_LENGTH, TCP_RECVMSG, TCP_SENDMSG,
            UNIX_STREAM_RECVMSG, UNIX_STREAM_SENDMSG, jump,
        },
        hook::{self, Direction, Operation, tp_btf},
        merge, processor,
        server::{self, DONE},
        task, tls,
    };

    const RECEIVES: usize = Program::Receives as usize;
    const SENDS: usize = Program::Sends as usize;
    const RECEIVES_SECOND: usize = Program::ReceivesSecond as usize;
    const SENDS_SECOND: usize = Program::SendsSecond as usize;

    /// Every read on a socket, failed ones included.
    #[btf_tracepoint(function = "sock_recv_length")]
    pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
        processor::hold();
        let next = received::<RECEIVES>(tp_btf::receive(&ctx));
        jump::<_, RECEIVES>(&ctx, &SOCK_RECV_LENGTH, next)
    }

    /// Every write on a socket, failed ones included.
    #[btf_tracepoint(function = "sock_send_length")]
    pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
        processor::hold();
        let next = sent::<SENDS>(tp_btf::send(&ctx));
        jump::<_, SENDS>(&ctx, &SOCK_SEND_LENGTH, next)
    }

    /// The same where there are no such tracepoints: reads over TCP.
    #[fexit(function = "tcp_recvmsg")]
    pub fn tcp_recvmsg(ctx: FExitContext) -> i32 {
        processor::hold();
        let next = received::<RECEIVES>(hook::fexit::receive_tcp(&ctx));
        jump::<_, RECEIVES>(&ctx, &TCP_RECVMSG, next)
    }

    /// Reads over unix sockets.
    #[fexit(function = "unix_stream_recvmsg")]
    pub fn unix_stream_recvmsg(ctx: FExitContext) -> i32 {
        processor::hold();
        let next = received::<RECEIVES>(hook::fexit::receive_unix(&ctx));
        jump::<_, RECEIVES>(&ctx, &UNIX_STREAM_RECVMSG, next)
    }

    /// Writes over TCP.
    #[fexit(function = "tcp_sendmsg")]
    pub fn tcp_sendmsg(ctx: FExitContext) -> i32 {
        processor::hold();
        let next = sent::<SENDS>(hook::fexit::send_tcp(&ctx));
        jump::<_, SENDS>(&ctx, &TCP_SENDMSG, next)
    }

    /// Writes over unix sockets.
    #[fexit(function = "unix_stream_sendmsg")]
    pub fn unix_stream_sendmsg(ctx: FExitContext) -> i32 {
        processor::hold();
        let next = sent::<SENDS>(hook::fexit::send_unix(&ctx));
        jump::<_, SENDS>(&ctx, &UNIX_STREAM_SENDMSG, next)
    }

    #[inline(always)]
    fn received<const PROGRAM: usize>(operation: Option<Operation>) -> u8 {
        match operation {
            Some(operation) if task::is_server() => {
                server::operation::<PROGRAM>(&operation, Direction::Received)
            }
            // Nothing to do for a client: it speaks first, and what it receives is counted where it is sent.
            _ => DONE,
        }
    }

    #[inline(always)]
    fn sent<const PROGRAM: usize>(operation: Option<Operation>) -> u8 {
        let Some(operation) = operation else {
            return DONE;
        };
        if task::is_server() {
            return server::operation::<PROGRAM>(&operation, Direction::Sent);
        }
        if operation.length > 0 {
            client::sent(&operation);
        }
        DONE
    }

    /// The second programs of those hooks.
    macro_rules! second {
        ($($kind:ident $function:literal, $context:ident, $operation:path, $direction:ident, $does:ident $program:ident: $second:ident $map:ident;)*) => {$(
            /// What the first was not let to see.
            #[$kind(function = $function)]
            pub fn $second(ctx: $context) -> i32 {
                processor::hold();
                let left = $operation(&ctx).filter(|operation| doubled::is_left(operation, Direction::$direction));
                let next = $does::<$program>(left);
                jump::<_, $program>(&ctx, &$map, next)
            }
        )*};
    }

    second! {
        btf_tracepoint "sock_recv_length", BtfTracePointContext, tp_btf::receive, Received, received RECEIVES_SECOND: sock_recv_length_second SOCK_RECV_LENGTH;
        btf_tracepoint "sock_send_length", BtfTracePointContext, tp_btf::send, Sent, sent SENDS_SECOND: sock_send_length_second SOCK_SEND_LENGTH;
        fexit "tcp_recvmsg", FExitContext, hook::fexit::receive_tcp, Received, received RECEIVES_SECOND: tcp_recvmsg_second TCP_RECVMSG;
        fexit "tcp_sendmsg", FExitContext, hook::fexit::send_tcp, Sent, sent SENDS_SECOND: tcp_sendmsg_second TCP_SENDMSG;
        fexit "unix_stream_recvmsg", FExitContext, hook::fexit::receive_unix, Received, received RECEIVES_SECOND: unix_stream_recvmsg_second UNIX_STREAM_RECVMSG;
        fexit "unix_stream_sendmsg", FExitContext, hook::fexit::send_unix, Sent, sent SENDS_SECOND: unix_stream_sendmsg_second UNIX_STREAM_SENDMSG;
    }

    /// The programs of other protocols than PostgreSQL's, to which those above jump.
    macro_rules! of_protocols {
        ($($kind:ident $function:literal, $context:ident, $operation:path, $direction:ident $program:ident: $mysql:ident $redis:ident;)*) => {$(
            /// MySQL's.
            #[$kind(function = $function)]
            pub fn $mysql(ctx: $context) -> i32 {
                processor::hold();
                handover::mysql::<$program>($operation(&ctx), Direction::$direction)
            }

            /// Redis'.
            #[$kind(function = $function)]
            pub fn $redis(ctx: $context) -> i32 {
                processor::hold();
                handover::redis::<$program>($operation(&ctx), Direction::$direction)
            }
        )*};
    }

    of_protocols! {
        btf_tracepoint "sock_recv_length", BtfTracePointContext, tp_btf::receive, Received RECEIVES: sock_recv_length_mysql sock_recv_length_redis;
        btf_tracepoint "sock_recv_length", BtfTracePointContext, tp_btf::receive, Received RECEIVES_SECOND: sock_recv_length_second_mysql sock_recv_length_second_redis;
        btf_tracepoint "sock_send_length", BtfTracePointContext, tp_btf::send, Sent SENDS: sock_send_length_mysql sock_send_length_redis;
        btf_tracepoint "sock_send_length", BtfTracePointContext, tp_btf::send, Sent SENDS_SECOND: sock_send_length_second_mysql sock_send_length_second_redis;
        fexit "tcp_recvmsg", FExitContext, hook::fexit::receive_tcp, Received RECEIVES: tcp_recvmsg_mysql tcp_recvmsg_redis;
        fexit "tcp_sendmsg", FExitContext, hook::fexit::send_tcp, Sent SENDS: tcp_sendmsg_mysql tcp_sendmsg_redis;
        fexit "unix_stream_recvmsg", FExitContext, hook::fexit::receive_unix, Received RECEIVES: unix_stream_recvmsg_mysql unix_stream_recvmsg_redis;
        fexit "unix_stream_sendmsg", FExitContext, hook::fexit::send_unix, Sent SENDS: unix_stream_sendmsg_mysql unix_stream_sendmsg_redis;
        fexit "tcp_recvmsg", FExitContext, hook::fexit::receive_tcp, Received RECEIVES_SECOND: tcp_recvmsg_second_mysql tcp_recvmsg_second_redis;
        fexit "tcp_sendmsg", FExitContext, hook::fexit::send_tcp, Sent SENDS_SECOND: tcp_sendmsg_second_mysql tcp_sendmsg_second_redis;
        fexit "unix_stream_recvmsg", FExitContext, hook::fexit::receive_unix, Received RECEIVES_SECOND: unix_stream_recvmsg_second_mysql unix_stream_recvmsg_second_redis;
        fexit "unix_stream_sendmsg", FExitContext, hook::fexit::send_unix, Sent SENDS_SECOND: unix_stream_sendmsg_second_mysql unix_stream_sendmsg_second_redis;
    }

    /// A server process ended: its connections are over.
    #[btf_tracepoint(function = "sched_process_exit")]
    pub fn sched_process_exit(_ctx: BtfTracePointContext) -> i32 {
        processor::hold();
        if task::is_server() {
            server::exited();
        }
        processor::let_go();
        0
    }

    /// One that the first was not let to see.
    #[btf_tracepoint(function = "sched_process_exit")]
    pub fn sched_process_exit_second(_ctx: BtfTracePointContext) -> i32 {
        processor::hold();
        if task::is_server() {
            server::exited_unseen();
        }
        processor::let_go();
        0
    }

    /// Attached nowhere: userspace runs it before it drains the ring.
    #[raw_tracepoint]
    pub fn drain(_ctx: RawTracePointContext) -> i32 {
        merge::drain();
        0
    }

    /// `SSL_read(ssl, buffer, length)` of a server's TLS library.
    #[uprobe]
    pub fn ssl_read(ctx: ProbeContext) -> u32 {
        if tls::concerns()
            && let (Some(ssl), Some(buffer)) = (ctx.arg(0), ctx.arg(1))
        {
            processor::hold_in_library();
            tls::read_begins(ssl, buffer);
            processor::let_go_in_library();
        }
        0
    }

    /// Its end.
    #[uretprobe]
    pub fn ssl_read_ends(ctx: RetProbeContext) -> u32 {
        if tls::concerns() {
            processor::hold_in_library();
            tls::read_ends(ctx.ret());
            processor::let_go_in_library();
        }
        0
    }

    /// `SSL_write(ssl, buffer, length)`.
    #[uprobe]
    pub fn ssl_write(ctx: ProbeContext) -> u32 {
        if tls::concerns()
            && let (Some(ssl), Some(buffer), Some(length)) = (ctx.arg(0), ctx.arg(1), ctx.arg(2))
        {
            processor::hold_in_library();
            tls::writes(ssl, buffer, length);
            processor::let_go_in_library();
        }
        0
    }

    /// `SSL_free(ssl)`.
    #[uprobe]
    pub fn ssl_free(ctx: ProbeContext) -> u32 {
        if tls::concerns()
            && let Some(ssl) = ctx.arg(0)
        {
            tls::freed(ssl);
        }
        0
    }

    /// `X509_NAME_get_text_by_NID(name, nid, buffer, length)` of a server's library.
    #[uprobe]
    pub fn certificate_name(ctx: ProbeContext) -> u32 {
        if certificate::concerns()
            && let (Some(kind), Some(buffer)) = (ctx.arg(1), ctx.arg(2))
        {
            certificate::begins(ctx.regs.cast_const().cast(), kind, buffer);
        }
        0
    }

    /// Its end.
    #[uretprobe]
    pub fn certificate_name_ends(ctx: RetProbeContext) -> u32 {
        if certificate::concerns() {
            certificate::ends(ctx.ret());
        }
        0
    }

    /// A server process began: userspace looks for new servers at once.
    #[btf_tracepoint(function = "sched_process_exec")]
    pub fn sched_process_exec(_ctx: BtfTracePointContext) -> i32 {
        if task::is_server() {
            server::began();
        }
        0
    }
}

/// The programs of the lowest rung.
#[cfg(floor)]
mod programs {
    use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

    use crate::{floor::steps, hook::sys_exit, processor, server, task};

    /// Every system call's end.
    #[raw_tracepoint(tracepoint = "sys_exit")]
    pub fn sys_exit(ctx: RawTracePointContext) -> i32 {
        if let Some((registers, number, length)) = sys_exit::call(&ctx) {
            processor::hold();
            go_on(steps::step_operation(registers, number, length));
            processor::let_go();
        }
        0
    }

    /// What the first was not let to see.
    #[raw_tracepoint(tracepoint = "sys_exit")]
    pub fn sys_exit_second(ctx: RawTracePointContext) -> i32 {
        if let Some((registers, number, length)) = sys_exit::call(&ctx) {
            processor::hold();
            go_on(steps::step_left(registers, number, length));
            processor::let_go();
        }
        0
    }

    #[inline(always)]
    fn go_on(next: u32) {
        if next == steps::RECEIVED {
            steps::step_received();
        } else if next == steps::SENT && steps::step_sent() == steps::WALKS {
            steps::step_walk();
        }
    }

    /// A server process ended: its connections are over.
    #[raw_tracepoint(tracepoint = "sched_process_exit")]
    pub fn sched_process_exit(_ctx: RawTracePointContext) -> i32 {
        processor::hold();
        if task::is_server() {
            server::exited();
        }
        processor::let_go();
        0
    }

    /// One that the first was not let to see.
    #[raw_tracepoint(tracepoint = "sched_process_exit")]
    pub fn sched_process_exit_second(_ctx: RawTracePointContext) -> i32 {
        processor::hold();
        if task::is_server() {
            server::exited_unseen();
        }
        processor::let_go();
        0
    }

    /// A server process began: userspace looks for new servers at once.
    #[raw_tracepoint(tracepoint = "sched_process_exec")]
    pub fn sched_process_exec(_ctx: RawTracePointContext) -> i32 {
        if task::is_server() {
            server::began();
        }
        0
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // A panic path in the object makes the verifier refuse the program: a build check looks for it.
    loop {}
}

/// The programs call helpers that are open to GPL-compatible programs only (`bpf_probe_read_user`).
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
