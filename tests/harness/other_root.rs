//! Programs of another Debian release in a root of their own, as containers have them: what they see of this machine is /tmp,
//! its processes and its network.

use std::{
    ffi::{CStr, CString, c_int},
    io,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
    ptr,
};

/// What of this machine's files is seen there.
const SHARED: [&str; 3] = ["/dev", "/proc", "/tmp"];

/// A program by its path under `root`, as this user and group if it is not to run as root.
///
/// # Panics
/// When the path holds a NUL.
pub fn command(root: &Path, program: &str, owner: Option<(u32, u32)>) -> Command {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    let place = text(root);
    let shared = SHARED.map(|path| (text(Path::new(path)), text(&root.join(&path[1..]))));
    let mut command = Command::new(program);
    // SAFETY: between fork and exec only system calls are made, on what was prepared before.
    unsafe { command.pre_exec(move || enter(&place, &shared, owner)) };
    command
}

/// Makes `root` the root of this process alone.
fn enter(root: &CStr, shared: &[(CString, CString)], owner: Option<(u32, u32)>) -> io::Result<()> {
    const HERE: &CStr = c".";
    // SAFETY: system calls whose arguments are texts that end with NUL, or nothing.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS))?;
        mount(None, c"/", libc::MS_REC | libc::MS_PRIVATE)?;
        mount(Some(root), root, libc::MS_BIND)?;
        for (from, to) in shared {
            mount(Some(from), to, libc::MS_BIND | libc::MS_REC)?;
        }
        done(libc::chdir(root.as_ptr()))?;
        // The old root lies over the new one, from where it is taken away.
        let moved = libc::syscall(libc::SYS_pivot_root, HERE.as_ptr(), HERE.as_ptr());
        done(if moved == 0 { 0 } else { -1 })?;
        done(libc::umount2(HERE.as_ptr(), libc::MNT_DETACH))?;
        done(libc::chdir(c"/".as_ptr()))?;
        if let Some((user, group)) = owner {
            done(libc::setgroups(1, &raw const group))?;
            done(libc::setgid(group))?;
            done(libc::setuid(user))?;
        }
    }
    Ok(())
}

fn mount(from: Option<&CStr>, to: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    let from = from.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: texts that end with NUL, or nothing.
    let result = unsafe { libc::mount(from, to.as_ptr(), ptr::null(), flags, ptr::null()) };
    done(result)
}

fn done(result: c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
