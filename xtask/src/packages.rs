//! What setup installs, with versions: the one place to extend.

use std::{fs, path::Path};

use crate::command;

/// A Debian package and how to see that it is not needed.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// Package.
    pub package: &'static str,
    /// When this is there, it need not be installed.
    pub unless: Unless,
}

/// What stands for an installed package.
#[derive(Clone, Copy, Debug)]
pub enum Unless {
    /// The package itself.
    Installed,
    /// A program on the search path, wherever it came from.
    Program(&'static str),
    /// A condition.
    Holds(fn() -> bool),
}

/// To build userspace: a C compiler, and libclang for pg_query's bindings.
pub const BUILD: &[Need] = &[
    program("gcc", "gcc"),
    program("make", "make"),
    program("pkg-config", "pkg-config"),
    installed("libc6-dev"),
    installed("libclang-dev"),
];

/// To build fuzzers: libFuzzer is written in C++.
pub const FUZZ: &[Need] = &[program("g++", "g++")];

/// The same as [`BUILD`] for aarch64: headers and libraries come with the compiler.
pub const CROSS: &[Need] = &[
    program("gcc-aarch64-linux-gnu", "aarch64-linux-gnu-gcc"),
    installed("libc6-dev-arm64-cross"),
    // Runs programs that are built for it.
    program("qemu-user-static", "qemu-aarch64-static"),
];

/// Virtual machines with that processor.
pub const CROSS_VIRTUAL_MACHINES: &[Need] = &[program("qemu-system-arm", "qemu-system-aarch64")];

/// A Rust toolchain that carries the standard library's source, for where rustup offers none.
pub const BPF_TOOLCHAIN: &[Need] = &[
    installed("rustc-web"),
    installed("cargo-web"),
    installed("rust-web-src"),
];

/// A database server for the demo.
pub const POSTGRESQL: &[Need] = &[
    Need {
        package: "postgresql",
        unless: Unless::Holds(has_postgresql),
    },
    Need {
        package: "postgresql-contrib",
        unless: Unless::Holds(has_pg_stat_statements),
    },
];

/// A server of the second protocol, and its clients.
pub const MARIADB: &[Need] = &[
    program("mariadb-server", "mariadbd"),
    program("mariadb-client", "mariadb-dump"),
];

/// A server of the third protocol, and its clients.
pub const REDIS: &[Need] = &[
    program("redis-server", "redis-server"),
    program("redis-tools", "redis-cli"),
];

/// The same by those who went on with it under another name: of the backports to Debian 12, and unpacked to a folder of its own,
/// for it is none of the release's packages. It needs the libraries of [`REDIS`].
pub const VALKEY: (&str, [&str; 2]) = ("bookworm-backports", ["valkey-server", "valkey-tools"]);

/// MySQL's own server and clients, which Debian has in sid alone: unpacked, with all libraries that they need, to a folder that
/// becomes their root.
pub const MYSQL: (&str, [&str; 2]) = ("sid", ["mysql-server-core", "mysql-client-core"]);

/// What [`MYSQL`]'s packages ask for and no program of theirs that is used needs: beginnings of packages' names.
pub const NOT_FOR_MYSQL: [&str; 2] = ["perl", "libperl"];

/// What the benchmarks compare the sensor with, and loads.
pub const PEERS: &[Need] = &[
    installed("postgresql-15-pgaudit"),
    program("bpftrace", "bpftrace"),
    // The load on MariaDB.
    program("sysbench", "sysbench"),
];

/// Clients for the integration tests.
pub const CLIENTS: &[Need] = &[
    Need {
        package: "python3-venv",
        unless: Unless::Holds(has_venv),
    },
    // Hosts of their own, as network namespaces.
    program("iproute2", "ip"),
    program("nodejs", "node"),
    program("npm", "npm"),
    program("default-jdk-headless", "javac"),
    installed("libpostgresql-jdbc-java"),
    installed("libmariadb-java"),
    // Stands between clients and servers.
    program("pgbouncer", "pgbouncer"),
    // A domain of its own, for logins by Kerberos.
    program("krb5-kdc", "krb5kdc"),
    program("krb5-admin-server", "kadmin.local"),
    program("krb5-user", "kinit"),
    // Makes containers, as it does for their engines.
    program("runc", "runc"),
    // In which `sensor top` is tried.
    program("tmux", "tmux"),
    // Which says what the unit file's directives mean.
    program("systemd", "systemd-analyze"),
];

/// Virtual machines with other kernels.
pub const VIRTUAL_MACHINES: &[Need] = &[
    program("qemu-system-x86", "qemu-system-x86_64"),
    installed("busybox-static"),
    program("cpio", "cpio"),
    program("kmod", "depmod"),
    program("xz-utils", "xz"),
    program("zstd", "zstd"),
];

/// Python packages of the integration tests (target/tools/venv): name and version.
pub const PYTHON: &[(&str, &str)] = &[
    ("psycopg", "3.3.9"),
    ("psycopg-binary", "3.3.9"),
    ("typing_extensions", "4.16.0"),
    ("PyMySQL", "1.2.4"),
    ("mysql-connector-python", "26.10.0"),
    ("redis", "8.1.0"),
    // Receivers of telemetry: one on the official protobuf definitions, and a collector.
    ("oteltest", "0.49.0"),
    ("rotel", "0.0.1a15"),
    // An embedded ClickHouse.
    ("chdb-core-lite", "26.5.0"),
    // Reads the collector's configuration.
    ("PyYAML", "6.0.3"),
    // The published registry of names.
    ("opentelemetry-semantic-conventions", "0.66b2"),
];

/// A trace page, and a browser to take pictures of it: `cargo xtask look`.
pub const TRACE_PAGE: &[(&str, &str)] = &[("arize-phoenix", "20.26.1")];
/// See [`TRACE_PAGE`].
pub const BROWSER: &[Need] = &[program("chromium", "chromium")];

/// Node packages of the integration tests (target/tools/node): name and version.
pub const NODE: &[(&str, &str)] = &[
    ("pg", "8.23.1"),
    ("pg-cursor", "2.22.0"),
    ("pg-query-stream", "4.17.0"),
    ("mysql2", "3.24.6"),
    // The last major version that Debian 12's Node runs.
    ("ioredis", "5.11.1"),
];

/// Builds fuzzers.
pub const CARGO_FUZZ: &str = "0.13.2";
/// The linker of the kernel programs. Later versions need a system LLVM with headers.
pub const BPF_LINKER: &str = "0.10.3";
/// Major version of LLVM that it is made for; compiler and linker of the kernel programs must agree on it.
pub const LLVM: u32 = 22;
/// A release of Rust with that LLVM, for when nightly has moved on.
pub const PINNED_RUST: &str = "1.95.0";

const fn installed(package: &'static str) -> Need {
    Need {
        package,
        unless: Unless::Installed,
    }
}

const fn program(package: &'static str, program: &'static str) -> Need {
    Need {
        package,
        unless: Unless::Program(program),
    }
}

fn has_postgresql() -> bool {
    crate::postgresql::newest_postgresql().is_ok()
}

fn has_pg_stat_statements() -> bool {
    crate::postgresql::newest_postgresql().is_ok_and(|bin| {
        let version = bin.parent().and_then(Path::file_name).unwrap_or_default();
        let share = Path::new("/usr/share/postgresql").join(version);
        fs::exists(share.join("extension/pg_stat_statements.control")).unwrap_or(false)
    })
}

fn has_venv() -> bool {
    command::succeeds(command::command("python3").args(["-c", "import venv, ensurepip"]))
}
