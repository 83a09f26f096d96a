//! Read-only globals: what the loader tells the programs before the verifier sees them.
//!
//! The verifier takes their values as constants, so a switched-off feature costs nothing. What every operation needs
//! comes first: it shares a cache line.

use crate::{program::PROGRAMS, tags::Names};

/// Offsets and switches, one `.rodata` global.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Secret multiplier and seed of the statement fingerprint: without them nobody outside can craft a statement
    /// that collides with a harmless one.
    pub fingerprint_keys: [u64; 2],
    /// Secret of the hashes of records: the same over restarts, so that a record is known again.
    pub record_keys: [u64; 2],
    /// Slots for connections less one; their number is a power of two.
    pub slot_mask: u32,
    /// Length of a tick (`jiffies`) in nanoseconds.
    pub tick: u32,
    /// Offsets of kernel fields, from BTF.
    pub offsets: Offsets,
    /// Command names (NUL-padded, `sched:comm`) of database servers, as two words that are compared at once; zero
    /// entries are unused.
    pub commands: [[u64; 2]; COMMANDS],
    /// Bytes of one response that are walked message by message before rows are estimated while they stream.
    pub skim_after: u64,
    /// Bytes of a streaming statement between two progress records.
    pub progress_bytes: u64,
    /// `CLOCK_MONOTONIC` when the programs were loaded: processes that are older may have connections of which the
    /// beginning was not seen.
    pub loaded_at: u64,
    /// Only connections whose server's end is in the network namespace of this inode are watched; zero: all.
    pub netns: u64,
    /// Nanoseconds between two links to applications' traces, as many as the budget allows; zero: none.
    pub link_interval: u64,
    /// Plaintext of TLS connections is taken from the servers' library: 1.
    pub tls: u64,
    /// Which of `commands` speak MySQL's protocol, one bit each.
    pub mysql_commands: u64,
    /// Which speak Redis', likewise.
    pub redis_commands: u64,
    /// Socket hooks have two programs each: 1. See `doubled`.
    pub doubled: u64,
    /// Programs on sockets hold the processor: 1. See `processor`.
    pub holds: u64,
    /// Those on libraries do: 1.
    pub holds_in_library: u64,
    /// Which working memory the programs on sockets have, by [`crate::program::Program`].
    pub places: [u32; PROGRAMS],
    /// Tags in statements' comments that tell who asks.
    pub tags: Names,
}

/// In the map of sockets that are older than the sensor, which have numbers from 1: all of them stand there.
pub const LISTED: u32 = 0;

/// How many command names can be watched.
pub const COMMANDS: usize = 12;

/// Byte offsets of kernel fields on the running kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Offsets {
    /// `task_struct.comm`.
    pub task_comm: u32,
    /// `sock.__sk_common.skc_cookie`.
    pub sk_cookie: u32,
    /// `sock.__sk_common.skc_family`.
    pub sk_family: u32,
    /// `sock.sk_type`.
    pub sk_type: u32,
    /// `sock.__sk_common.skc_dport` (network order).
    pub sk_dport: u32,
    /// `sock.__sk_common.skc_num` (host order).
    pub sk_num: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.real_parent`.
    pub task_real_parent: u32,
    /// `task_struct.group_leader`.
    pub task_group_leader: u32,
    /// `task_struct.cred`.
    pub task_cred: u32,
    /// `task_struct.loginuid`.
    pub task_loginuid: u32,
    /// `task_struct.sessionid`.
    pub task_sessionid: u32,
    /// `cred.uid`.
    pub cred_uid: u32,
    /// `cred.euid`.
    pub cred_euid: u32,
    /// `sock.__sk_common.skc_daddr`.
    pub sk_daddr: u32,
    /// `sock.__sk_common.skc_rcv_saddr`.
    pub sk_rcv_saddr: u32,
    /// `sock.__sk_common.skc_v6_daddr`.
    pub sk_v6_daddr: u32,
    /// `sock.__sk_common.skc_v6_rcv_saddr`.
    pub sk_v6_rcv_saddr: u32,
    /// `sock.__sk_common.skc_net`.
    pub sk_net: u32,
    /// `sock.sk_peer_pid`.
    pub sk_peer_pid: u32,
    /// `sock.sk_peer_cred`.
    pub sk_peer_cred: u32,
    /// `net.ns.inum`.
    pub net_inum: u32,
    /// `unix_sock.addr`.
    pub unix_addr: u32,
    /// `unix_sock.peer`.
    pub unix_peer: u32,
    /// `unix_address.len`.
    pub unix_address_len: u32,
    /// `unix_address.name[0]` (a `sockaddr_un`).
    pub unix_address_name: u32,
    /// `pid.level`.
    pub pid_level: u32,
    /// `pid.numbers[0].nr`.
    pub pid_numbers_nr: u32,
    /// `tcp_sock.write_seq`.
    pub tcp_write_seq: u32,
    /// `tcp_sock.copied_seq`.
    pub tcp_copied_seq: u32,
    /// `task_struct.start_time`.
    pub task_start_time: u32,
    /// `socket.sk`.
    pub socket_sk: u32,
    /// `task_struct.files`.
    pub task_files: u32,
    /// `files_struct.fdt`.
    pub files_fdt: u32,
    /// `fdtable.max_fds`.
    pub fdtable_max_fds: u32,
    /// `fdtable.fd`.
    pub fdtable_fd: u32,
    /// `file.f_inode`.
    pub file_inode: u32,
    /// `file.private_data`.
    pub file_private_data: u32,
    /// `inode.i_mode`.
    pub inode_mode: u32,
    /// `inode.i_ino`.
    pub inode_ino: u32,
    /// `tcp_sock.bytes_sent`.
    pub tcp_bytes_sent: u32,
    /// `sock.sk_socket`.
    pub sk_socket: u32,
    /// `socket.file`.
    pub socket_file: u32,
    /// `task_struct.mm`.
    pub task_mm: u32,
    /// `mm_struct.start_code`.
    pub mm_start_code: u32,
    /// `mm_struct.end_code`.
    pub mm_end_code: u32,
}

const _: () = assert!(
    size_of::<Settings>() == 18 * 8 + COMMANDS * 16 + size_of::<Offsets>() + size_of::<Names>()
);
