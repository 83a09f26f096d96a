//! Offsets of kernel fields, read from the running kernel's own type information (BTF).

use anyhow::{Context as _, Result, anyhow};
use btf_rs::{Btf, Type};
use sensor_ebpf::settings::Offsets;

use super::registers;

/// Where the kernel keeps its type information.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's type information.
///
/// # Errors
/// When it has none.
pub fn vmlinux() -> Result<Btf> {
    Btf::from_file(VMLINUX).with_context(|| {
        format!("cannot read the kernel's type information from {VMLINUX}: this kernel was built without CONFIG_DEBUG_INFO_BTF; install your distribution's standard kernel")
    })
}

/// Reads all offsets that the programs use.
///
/// # Errors
/// When a structure or field is not as expected.
pub fn read(btf: &Btf) -> Result<Offsets> {
    registers::check(btf)?;
    let at = |structure: &str, path: &str| offset(btf, structure, path);
    Ok(Offsets {
        task_comm: at("task_struct", "comm")?,
        task_tgid: at("task_struct", "tgid")?,
        task_real_parent: at("task_struct", "real_parent")?,
        task_group_leader: at("task_struct", "group_leader")?,
        task_cred: at("task_struct", "cred")?,
        task_loginuid: at("task_struct", "loginuid")?,
        task_sessionid: at("task_struct", "sessionid")?,
        task_start_time: at("task_struct", "start_time")?,
        cred_uid: at("cred", "uid")?,
        cred_euid: at("cred", "euid")?,
        sk_family: at("sock", "__sk_common.skc_family")?,
        sk_num: at("sock", "__sk_common.skc_num")?,
        sk_dport: at("sock", "__sk_common.skc_dport")?,
        sk_daddr: at("sock", "__sk_common.skc_daddr")?,
        sk_rcv_saddr: at("sock", "__sk_common.skc_rcv_saddr")?,
        sk_v6_daddr: at("sock", "__sk_common.skc_v6_daddr")?,
        sk_v6_rcv_saddr: at("sock", "__sk_common.skc_v6_rcv_saddr")?,
        sk_cookie: at("sock", "__sk_common.skc_cookie")?,
        sk_net: at("sock", "__sk_common.skc_net")?,
        sk_type: at("sock", "sk_type")?,
        sk_peer_pid: at("sock", "sk_peer_pid")?,
        sk_peer_cred: at("sock", "sk_peer_cred")?,
        net_inum: at("net", "ns.inum")?,
        unix_addr: at("unix_sock", "addr")?,
        unix_peer: at("unix_sock", "peer")?,
        unix_address_len: at("unix_address", "len")?,
        unix_address_name: at("unix_address", "name")?,
        pid_level: at("pid", "level")?,
        pid_numbers_nr: at("pid", "numbers")? + at("upid", "nr")?,
        tcp_write_seq: at("tcp_sock", "write_seq")?,
        tcp_copied_seq: at("tcp_sock", "copied_seq")?,
        tcp_bytes_sent: at("tcp_sock", "bytes_sent")?,
        sk_socket: at("sock", "sk_socket")?,
        socket_file: at("socket", "file")?,
        task_mm: at("task_struct", "mm")?,
        mm_start_code: at("mm_struct", "start_code")?,
        mm_end_code: at("mm_struct", "end_code")?,
        socket_sk: at("socket", "sk")?,
        task_files: at("task_struct", "files")?,
        files_fdt: at("files_struct", "fdt")?,
        fdtable_max_fds: at("fdtable", "max_fds")?,
        fdtable_fd: at("fdtable", "fd")?,
        file_inode: at("file", "f_inode")?,
        file_private_data: at("file", "private_data")?,
        inode_mode: at("inode", "i_mode")?,
        inode_ino: at("inode", "i_ino")?,
    })
}

/// Byte offset of a field, by a dotted path through nested structures; anonymous members are looked into.
///
/// # Errors
/// When there is no such structure or field.
pub fn offset(btf: &Btf, structure: &str, path: &str) -> Result<u32> {
    let missing = || {
        anyhow!(
            "this kernel's type information has no field {structure}.{path}: please report the kernel version"
        )
    };
    let types = btf
        .resolve_types_by_name(structure)
        .map_err(|_| missing())?;
    let root = types
        .iter()
        .find_map(|found| match found {
            Type::Struct(found) => Some(found),
            _ => None,
        })
        .ok_or_else(missing)?;
    let mut bits = 0;
    let mut current = Type::Struct(root.clone());
    for name in path.split('.') {
        let (found, at) = member(btf, &current, name).ok_or_else(missing)?;
        bits += at;
        current = found;
    }
    Ok(bits / 8)
}

/// Type and bit offset of a named member.
fn member(btf: &Btf, parent: &Type, name: &str) -> Option<(Type, u32)> {
    let (Type::Struct(parent) | Type::Union(parent)) = parent else {
        return None;
    };
    for member_of in &parent.members {
        let found = resolve(btf, btf.resolve_chained_type(member_of).ok()?);
        let member_name = btf.resolve_name(member_of).unwrap_or_default();
        if member_name == name {
            return Some((found, member_of.bit_offset()));
        }
        if member_name.is_empty()
            && let Some((inner, at)) = member(btf, &found, name)
        {
            return Some((inner, member_of.bit_offset() + at));
        }
    }
    None
}

/// Follows typedefs and qualifiers to the type behind them.
fn resolve(btf: &Btf, mut found: Type) -> Type {
    while let Type::Typedef(_) | Type::Const(_) | Type::Volatile(_) | Type::TypeTag(_) = found {
        let Some(next) = found
            .as_btf_type()
            .and_then(|chained| btf.resolve_chained_type(chained).ok())
        else {
            break;
        };
        found = next;
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_this_kernels_offsets() {
        let offsets =
            super::read(&super::vmlinux().expect("readable")).expect("BTF of the running kernel");
        // struct sock_common has not changed its beginning since BTF exists.
        assert_eq!(offsets.sk_daddr, 0);
        assert_eq!(offsets.sk_rcv_saddr, 4);
        assert_eq!(offsets.sk_dport, 12);
        assert_eq!(offsets.sk_num, 14);
        assert_eq!(offsets.sk_family, 16);
        assert!(offsets.task_comm > 0 && offsets.unix_peer > offsets.sk_peer_pid);
    }
}
