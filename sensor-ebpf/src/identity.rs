//! Who is at the other end of a socket, and who runs.

use core::ffi::c_void;

use sensor_ebpf::record::{FAMILY_INET, FAMILY_INET6, FAMILY_UNIX, LocalClientRecord, OpenRecord};
#[cfg(not(floor))]
use sensor_ebpf::settings::LISTED;

#[cfg(not(floor))]
use crate::maps::OLDER;
use crate::{
    maps::setting,
    task::{self, load, probe},
};

/// `SOCK_STREAM`.
const STREAM: u16 = 1;

/// Address family of a socket, zero for those that carry no database protocol.
#[inline(always)]
pub fn family(sk: *mut c_void) -> u16 {
    let family: u16 = load(sk, setting!(offsets.sk_family));
    if family == FAMILY_INET || family == FAMILY_INET6 || family == FAMILY_UNIX {
        family
    } else {
        0
    }
}

/// Is it a stream socket?
#[inline(always)]
pub fn is_stream(sk: *mut c_void) -> bool {
    load::<u16>(sk, setting!(offsets.sk_type)) == STREAM
}

/// Remote port in host order.
#[inline(always)]
pub fn remote_port(sk: *mut c_void) -> u16 {
    u16::from_be(load(sk, setting!(offsets.sk_dport)))
}

/// Local port.
#[inline(always)]
pub fn local_port(sk: *mut c_void) -> u16 {
    load(sk, setting!(offsets.sk_num))
}

/// Local and remote address, IPv4 in the first four bytes.
#[inline(always)]
fn addresses(sk: *mut c_void, family: u16) -> ([u8; 16], [u8; 16]) {
    let sk = sk as u64;
    if family == FAMILY_INET6 {
        (
            probe(sk, setting!(offsets.sk_v6_rcv_saddr)),
            probe(sk, setting!(offsets.sk_v6_daddr)),
        )
    } else {
        let local: [u8; 4] = probe(sk, setting!(offsets.sk_rcv_saddr));
        let remote: [u8; 4] = probe(sk, setting!(offsets.sk_daddr));
        (widen(local), widen(remote))
    }
}

#[inline(always)]
fn widen(address: [u8; 4]) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[0] = address[0];
    wide[1] = address[1];
    wide[2] = address[2];
    wide[3] = address[3];
    wide
}

#[inline(always)]
fn netns(sk: *mut c_void) -> u32 {
    let net: u64 = probe(sk as u64, setting!(offsets.sk_net));
    probe(net, setting!(offsets.net_inum))
}

/// Is the socket in a network namespace that is watched?
#[inline(always)]
pub fn is_in_scope(sk: *mut c_void) -> bool {
    let watched = setting!(netns);
    watched == 0 || watched == u64::from(netns(sk))
}

/// The `unix_address` that a unix socket is bound to; an accepted one shares its listener's.
#[inline(always)]
pub fn unix_address(sk: u64) -> u64 {
    probe(sk, setting!(offsets.unix_addr))
}

/// The other end of a unix socket.
#[inline(always)]
pub fn unix_peer(sk: u64) -> u64 {
    probe(sk, setting!(offsets.unix_peer))
}

/// Process id of the current task's parent, as the host sees it.
#[inline(always)]
pub fn parent() -> u32 {
    let parent: u64 = load(task::current(), setting!(offsets.task_real_parent));
    probe(parent, setting!(offsets.task_tgid))
}

/// Fills in what the socket and the task that serves it tell.
#[inline(always)]
pub fn describe_server(record: &mut OpenRecord, sk: *mut c_void, family: u16) {
    let task = task::current();
    record.server_pid = load(task, setting!(offsets.task_tgid));
    record.server_parent = parent();
    record.family = family;
    record.netns = netns(sk);
    record.peer_uid = u32::MAX;
    record.peer_pid = 0;
    record.peer_socket = 0;
    record.peer_cookie = 0;
    record.local_port = 0;
    record.remote_port = 0;
    if family == FAMILY_UNIX {
        let credentials: u64 = probe(sk as u64, setting!(offsets.sk_peer_cred));
        if credentials != 0 {
            record.peer_uid = probe(credentials, setting!(offsets.cred_euid));
        }
        // struct pid: the number in the initial pid namespace, which is the one the sensor lives in.
        let pid: u64 = probe(sk as u64, setting!(offsets.sk_peer_pid));
        if pid != 0 {
            record.peer_pid = probe(pid, setting!(offsets.pid_numbers_nr));
        }
        record.peer_socket = unix_peer(sk as u64);
        // The lowest rung numbers sockets by itself.
        #[cfg(not(floor))]
        {
            record.peer_cookie = probe(record.peer_socket, setting!(offsets.sk_cookie));
        }
        record.local_address = [0; 16];
        record.remote_address = [0; 16];
    } else {
        record.local_port = local_port(sk);
        record.remote_port = remote_port(sk);
        (record.local_address, record.remote_address) = addresses(sk, family);
    }
}

/// Fills in what the socket and its user tell, who has just sent so many bytes.
#[inline(always)]
pub fn describe_client(record: &mut LocalClientRecord, sk: *mut c_void, family: u16, sent: u32) {
    let task = task::current();
    let leader: u64 = load(task, setting!(offsets.task_group_leader));
    record.began = probe(leader, setting!(offsets.task_start_time));
    record.sequence = 0;
    record.pid = load(task, setting!(offsets.task_tgid));
    record.uid = uid();
    record.login_uid = load(task, setting!(offsets.task_loginuid));
    record.audit_session = load(task, setting!(offsets.task_sessionid));
    record.command = probe(task as u64, setting!(offsets.task_comm));
    record.socket = sk as u64;
    record.family = family;
    record.netns = netns(sk);
    record.local_port = 0;
    record.remote_port = 0;
    record.local_address = [0; 16];
    record.remote_address = [0; 16];
    if family != FAMILY_UNIX {
        record.local_port = local_port(sk);
        record.remote_port = remote_port(sk);
        (record.local_address, record.remote_address) = addresses(sk, family);
        record.sequence = tcp_counts(sk).0.wrapping_sub(sent);
    }
}

/// Real uid of the current task.
#[inline(always)]
pub fn uid() -> u32 {
    let credentials: task::Kernel = load(task::current(), setting!(offsets.task_cred));
    if credentials.is_null() {
        return u32::MAX;
    }
    load(credentials, setting!(offsets.cred_uid))
}

/// TCP's own counts: next byte to write and next byte to hand to the reader, modulo 2^32.
#[inline(always)]
pub fn tcp_counts(sk: *mut c_void) -> (u32, u32) {
    (
        probe(sk as u64, setting!(offsets.tcp_write_seq)),
        probe(sk as u64, setting!(offsets.tcp_copied_seq)),
    )
}

/// Has TCP sent nothing on this socket, not even again?
#[inline(always)]
pub fn tcp_has_sent_nothing(sk: *mut c_void) -> bool {
    probe::<u64>(sk as u64, setting!(offsets.tcp_bytes_sent)) == 0
}

/// Is the server's end of a unix socket younger than the sensor? Not told before userspace has listed those that are older.
#[cfg(not(floor))]
#[inline(always)]
pub fn is_younger_unix(sk: *mut c_void) -> bool {
    let socket: u64 = probe(sk as u64, setting!(offsets.sk_socket));
    let file: u64 = probe(socket, setting!(offsets.socket_file));
    let inode: u64 = probe(file, setting!(offsets.file_inode));
    let number = probe::<u64>(inode, setting!(offsets.inode_ino)) as u32;
    number != LISTED && OLDER.get_ptr(&LISTED).is_some() && OLDER.get_ptr(&number).is_none()
}

/// Did the current process begin before the programs were loaded? Its threads may be younger than what they serve.
#[inline(always)]
pub fn is_older_than_sensor() -> bool {
    load::<u64>(task::leader(), setting!(offsets.task_start_time)) < setting!(loaded_at)
}
