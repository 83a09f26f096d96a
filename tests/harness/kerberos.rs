//! A Kerberos domain of its own: its centre, whom it knows, and what lets a server and its clients find it.

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    environment::end,
    postgres::{free_port, user},
    sensor::wait_until,
};

/// Its name.
pub const REALM: &str = "DESK.TEST";
/// Everybody's password.
const PASSWORD: &str = "secret";
/// What a server on this host is called in it; libpq asks for it by the host's name.
const SERVICE: &str = "postgres/localhost";

/// A running domain, gone when dropped.
#[derive(Debug)]
pub struct Kerberos {
    directory: TempDir,
    centre: Option<Child>,
}

impl Kerberos {
    /// Starts one that knows these users and a PostgreSQL server on `localhost`.
    ///
    /// # Panics
    /// When there is no Kerberos on this machine, or it does not start.
    pub fn start(users: &[&str]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("dst-kerberos-")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let mut domain = Self {
            directory,
            centre: None,
        };
        let port = free_port();
        domain.configure(port);
        domain.run("kdb5_util", &["create", "-s", "-P", PASSWORD]);
        for name in users {
            domain.run(
                "kadmin.local",
                &["-q", &format!("addprinc -pw {PASSWORD} {name}")],
            );
        }
        let keys = domain.keys();
        domain.run(
            "kadmin.local",
            &["-q", &format!("addprinc -randkey {SERVICE}")],
        );
        domain.run(
            "kadmin.local",
            &["-q", &format!("ktadd -k {} {SERVICE}", keys.display())],
        );
        let (uid, gid) = user("postgres");
        std::os::unix::fs::chown(&keys, Some(uid), Some(gid)).expect("chown");
        let centre = domain
            .command("krb5kdc")
            .arg("-n")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start krb5kdc: run `cargo xtask setup`");
        domain.centre = Some(centre);
        wait_until("the Kerberos centre listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        domain
    }

    fn configure(&self, port: u16) {
        let path = |name: &str| self.path(name).display().to_string();
        fs::write(
            self.path("krb5.conf"),
            format!(
                "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n \
                 dns_canonicalize_hostname = false\n udp_preference_limit = 1\n\
                 [realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n\
                 [domain_realm]\n localhost = {REALM}\n"
            ),
        )
        .expect("write krb5.conf");
        fs::write(
            self.path("kdc.conf"),
            format!(
                "[kdcdefaults]\n kdc_listen = \"\"\n kdc_tcp_listen = 127.0.0.1:{port}\n\
                 [realms]\n {REALM} = {{\n  database_name = {}\n  key_stash_file = {}\n  acl_file = {}\n }}\n\
                 [logging]\n kdc = FILE:{}\n",
                path("principal"),
                path("stash"),
                path("acl"),
                path("log"),
            ),
        )
        .expect("write kdc.conf");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .envs(self.environment())
            .env("KRB5_KDC_PROFILE", self.path("kdc.conf"));
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}: run `cargo xtask setup`"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
    }

    /// Where the server finds its own keys (`krb_server_keyfile`).
    pub fn keys(&self) -> PathBuf {
        self.path("server.keytab")
    }

    /// What a server and its clients need to know.
    pub fn environment(&self) -> Vec<(String, String)> {
        let configuration = self.path("krb5.conf").display().to_string();
        vec![("KRB5_CONFIG".to_owned(), configuration)]
    }

    /// A user's ticket, by the password: what its programs need to know.
    ///
    /// # Panics
    /// When the centre gives none.
    pub fn log_in(&self, name: &str) -> Vec<(String, String)> {
        let ticket = self.path(&format!("ticket-{name}"));
        let mut kinit = self
            .command("kinit")
            .arg("-c")
            .arg(&ticket)
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("run kinit: run `cargo xtask setup`");
        let mut input = kinit.stdin.take().expect("piped");
        writeln!(input, "{PASSWORD}").expect("write to kinit");
        drop(input);
        let output = kinit.wait_with_output().expect("wait for kinit");
        assert!(output.status.success(), "kinit {name}: {output:?}");
        let mut environment = self.environment();
        environment.push((
            "KRB5CCNAME".to_owned(),
            format!("FILE:{}", ticket.display()),
        ));
        environment
    }
}

impl Drop for Kerberos {
    fn drop(&mut self) {
        if let Some(centre) = self.centre.take() {
            end(centre, libc::SIGTERM);
        }
    }
}
