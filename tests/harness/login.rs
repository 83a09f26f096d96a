//! Programs as somebody else.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

/// Runs a program as an OS user, and with a login user where one is given, to its end.
///
/// # Panics
/// When it can't be run, or fails.
pub fn run_as(command: &mut Command, uid: u32, login_uid: Option<u32>) {
    command
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .stdin(Stdio::null());
    // SAFETY: between fork and exec of a process whose other threads hold no lock that this needs: a file and ids.
    unsafe {
        command.pre_exec(move || {
            if let Some(login_uid) = login_uid {
                fs::write("/proc/self/loginuid", login_uid.to_string())?;
            }
            if libc::setgid(uid) != 0 || libc::setuid(uid) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let output = command.output().expect("run a client");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
