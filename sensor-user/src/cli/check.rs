//! `sensor check`: what this kernel and host offer, and what would be watched.

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use crate::{config::Config, discover, kernel::capability};

/// Ready.
const READY: u8 = 0;
/// Possible, with something missing.
const DEGRADED: u8 = 1;
/// Not possible.
const IMPOSSIBLE: u8 = 2;

/// Prints the findings; exits 0 when ready, 1 when something is lost, 2 when the sensor can't run here.
pub fn check(config: &Config) -> ExitCode {
    let mut out = String::new();
    let capabilities = capability::capabilities();
    let _ = writeln!(out, "kernel {}", capability::kernel_release());
    for found in &capabilities {
        let mark = match (found.present, found.required) {
            (true, _) => "yes",
            (false, true) => "NO",
            (false, false) => "no",
        };
        let _ = writeln!(out, "  {mark:<4} {:<20} {}", found.name, found.detail);
        if !found.present {
            let _ = writeln!(out, "       {:<20} to get it: {}", "", found.remedy);
        }
    }
    let possible = capabilities
        .iter()
        .all(|found| found.present || !found.required);
    let hooks = if possible {
        "tp_btf on sock_recv_length and sock_send_length"
    } else {
        "none"
    };
    let _ = writeln!(out, "hooks that would be used: {hooks}");

    let servers = discover::servers(&config.discover.command_names());
    let mut blind = false;
    if servers.is_empty() {
        let _ = writeln!(
            out,
            "no PostgreSQL server runs here now; one that starts later will be watched"
        );
    }
    for server in &servers {
        let _ = writeln!(
            out,
            "PostgreSQL {} ({}, pid {}, {})",
            server.version,
            server.name,
            server.pid,
            server.data_directory.display()
        );
        let sockets = match (&server.socket_directory, server.tcp) {
            (Some(directory), true) => {
                format!("unix {} and TCP port {}", directory.display(), server.port)
            }
            (Some(directory), false) => format!("unix {}", directory.display()),
            (None, _) => format!("TCP port {}", server.port),
        };
        let _ = writeln!(out, "  sockets: {sockets}");
        let _ = writeln!(
            out,
            "  seen: users, statements, tables, rows and bytes of every connection in clear"
        );
        if server.ssl {
            blind = true;
            let _ = writeln!(
                out,
                "  not seen: statements and rows of TLS connections (ssl = on); their bytes are counted"
            );
        }
    }
    let code = match (possible, blind) {
        (false, _) => IMPOSSIBLE,
        (true, true) => DEGRADED,
        (true, false) => READY,
    };
    let verdict = match code {
        READY => "ready",
        DEGRADED => "ready, with blind spots",
        _ => "cannot run here: see NO above",
    };
    let _ = writeln!(out, "{verdict}");
    let _ = std::io::stdout().write_all(out.as_bytes());
    ExitCode::from(code)
}
