//! Ways by which a statement makes the server itself read or send data, and where to.
//!
//! Destinations come from literals, so each is checked to be no more than a path, a program or a host:
//! a connection string with a password or a command with a token must never get out of here.

use serde_json::Value;

use super::tree::{self, constant};
use crate::sql::{Egress, EgressRoute};

/// Longest destination kept.
const LONGEST: usize = 255;

fn egress(route: EgressRoute, destination: &str) -> Egress {
    Egress {
        route,
        destination: destination.into(),
    }
}

/// `COPY … TO` or `FROM` a file or program. FROM is the server's file (or the program's output) becoming readable
/// through SQL, so it counts as [`EgressRoute::ServerFileRead`].
pub(super) fn copy(from: bool, program: bool, target: &str) -> Egress {
    let route = match (from, program) {
        (true, _) => EgressRoute::ServerFileRead,
        (false, true) => EgressRoute::CopyToProgram,
        (false, false) => EgressRoute::CopyToFile,
    };
    egress(
        route,
        if program {
            first_word(target)
        } else {
            path(target)
        },
    )
}

/// A remote server by its name in the database or its host.
pub(super) fn remote(server: &str) -> Egress {
    egress(EgressRoute::RemoteServer, name(server))
}

/// The route that a function is, by its name without schema.
pub(super) fn route_of(function: &str) -> Option<EgressRoute> {
    match function {
        "lo_export" => Some(EgressRoute::LargeObjectExport),
        "pg_file_write" => Some(EgressRoute::CopyToFile),
        "pg_read_file"
        | "pg_read_binary_file"
        | "pg_stat_file"
        | "pg_file_read"
        | "pg_logdir_ls"
        | "lo_import" => Some(EgressRoute::ServerFileRead),
        // These only put SQL text together.
        "dblink_current_query" | "dblink_get_pkey" | "dblink_get_connections" => None,
        _ if function.starts_with("dblink_build_sql_") => None,
        _ if function == "dblink" || function.starts_with("dblink_") => {
            Some(EgressRoute::RemoteServer)
        }
        _ if function.starts_with("pg_ls_") => Some(EgressRoute::ServerFileRead),
        _ => None,
    }
}

/// The egress that a call of `function` is, with the destination from its arguments.
pub(super) fn call(function: &str, args: &[Value]) -> Option<Egress> {
    let route = route_of(function)?;
    let text = |at: usize| args.get(at).and_then(constant);
    let destination = match route {
        EgressRoute::LargeObjectExport => text(1).map(path),
        EgressRoute::RemoteServer => Some(connection(function, args)),
        _ => text(0).map(path),
    };
    Some(egress(route, destination.unwrap_or_default()))
}

/// Where a `dblink` function connects to. Its overloads differ in whether the first text is a connection or the SQL.
fn connection<'a>(function: &str, args: &'a [Value]) -> &'a str {
    let texts: Vec<&str> = args.iter().map_while(constant).collect();
    let second_is_text = args
        .get(1)
        .is_some_and(|arg| !tree::is_boolean(arg) && !tree::is_number(arg));
    let at = match function {
        // (connstr) or (name, connstr)
        "dblink_connect" | "dblink_connect_u" => args.len().saturating_sub(1),
        // (name)
        "dblink_disconnect"
        | "dblink_get_result"
        | "dblink_is_busy"
        | "dblink_cancel_query"
        | "dblink_get_notify"
        | "dblink_error_message"
        | "dblink_send_query" => 0,
        // (cursor, sql) or (name, cursor, sql)
        "dblink_open"
            if args.len() >= 3 && args.get(2).is_some_and(|arg| !tree::is_boolean(arg)) =>
        {
            0
        }
        "dblink_open" => return "",
        // (sql) or (name, sql): a single text is no connection
        _ if second_is_text => 0,
        _ => return "",
    };
    let Some(text) = texts.get(at) else { return "" };
    if text.contains("://") {
        return uri_host(text);
    }
    if text.contains('=') {
        return option(text, "host")
            .or_else(|| option(text, "hostaddr"))
            .unwrap_or_default();
    }
    name(text)
}

/// The host of `postgresql://user:password@host:port/database`.
fn uri_host(uri: &str) -> &str {
    let Some((_, rest)) = uri.split_once("://") else {
        return "";
    };
    let authority = rest.split('/').next().unwrap_or_default();
    // A password may hold an `@` unescaped by mistake: what is before the last one is never a host.
    let (user, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains('?') {
        // Or that is a `@` in the options, and then the password may follow it.
        return "";
    }
    let authority = authority.split('?').next().unwrap_or_default();
    let bracketed = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map(|(host, _)| host);
    name(bracketed.unwrap_or_else(|| authority.split(':').next().unwrap_or_default()))
}

/// The value of `key = value` or `key='value'` in a connection string.
fn option<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    // With an escape the end of a value is not known to this simple reading: better no destination than a wrong one.
    if text.contains('\\') {
        return None;
    }
    let mut rest = text;
    loop {
        let (found, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'')?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        if found.trim() == key {
            return Some(name(value));
        }
        rest = next;
    }
}

/// A host, server or connection name; empty when it may be something else.
fn name(text: &str) -> &str {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | ',');
    if text.len() <= LONGEST && text.chars().all(plain) {
        text
    } else {
        ""
    }
}

/// A file of the server.
fn path(text: &str) -> &str {
    if text.len() <= LONGEST && !text.chars().any(char::is_control) {
        text
    } else {
        ""
    }
}

/// The program of a shell command: its first word, unless that is an assignment or anything quoted or expanded.
fn first_word(command: &str) -> &str {
    let word = command.split_whitespace().next().unwrap_or_default();
    let word = word
        .split(['|', '>', '<', ';', '&'])
        .next()
        .unwrap_or_default();
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+');
    if word.len() <= LONGEST && word.chars().all(plain) {
        word
    } else {
        ""
    }
}
