//! Clients and servers in containers that a runtime has made.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use harness::{
    Options, Postgres, Sensor, Turn,
    container::{self, Container, Net},
    is_lowest_rung,
    network::Network,
    wait_until,
};

use crate::scene::{Scene, attribute, psql, rows_by};

const POD: &str = "2f1bd1ad-0ca8-4b2c-9e3f-0a1b2c3d4e5f";

/// Reads so many of the items inside, and stays for a moment: who is gone at once is not looked at.
fn read(container: &Container, host: &str, port: u16, rows: u64) {
    let mut inside = psql(host, port, "ann", rows);
    inside.args(["--command", "SELECT pg_sleep(0.2)"]);
    let output = container
        .command(&inside)
        .output()
        .expect("run runc: run `cargo xtask setup`");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn clients_in_containers() {
    let scene = Scene::new(
        "[principals]\nidentity = [\"user\", \"client_address\", \"container\", \"pod\"]\n\
         [[threshold]]\nname = \"many\"\nmeasure = \"rows\"\nwindow = \"1m\"\nlimit = 250",
    );
    let port = scene.server.port;
    let host = scene.server.unix().host;
    let [docker, kubernetes, lonely] = [(); 3].map(|()| container::id());
    let mut by_unix = Container::new(&format!("/docker/{lonely}"), Net::None);
    by_unix.mount(Path::new(&host), "rw");
    let by_host = Container::new(&format!("/docker/{docker}"), Net::Host);
    let in_pod = Container::new(
        &format!("/kubepods/burstable/pod{POD}/{kubernetes}"),
        Net::Host,
    );
    let mut expected = BTreeMap::new();
    for (container, address, id, pod, rows) in [
        (&by_unix, "local", &lonely, "", 101),
        (&by_host, "127.0.0.1", &docker, "", 102),
        (&in_pod, "127.0.0.1", &kubernetes, POD, 303),
    ] {
        let host = if address == "local" { &host } else { address };
        read(container, host, port, rows);
        expected.insert(["ann", address, id, pod].map(str::to_owned).to_vec(), rows);
    }
    // And outside of any.
    let status = psql("127.0.0.1", port, "ann", 104)
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("run psql").success());
    expected.insert(
        ["ann", "127.0.0.1", "", ""].map(str::to_owned).to_vec(),
        104,
    );
    let output = scene.finish();
    let keys = ["user.name", "client.address", "container.id", "k8s.pod.uid"];
    assert_eq!(rows_by(&output, &keys), expected);
    let alerts = output.alerts();
    let [alert] = alerts.as_slice() else {
        panic!("expected one alert, got {alerts:#?}");
    };
    assert_eq!(attribute(&alert.attributes, "container.id"), kubernetes);
    assert_eq!(attribute(&alert.attributes, "k8s.pod.uid"), POD);
}

/// A server that was made outside and runs in a container now.
struct Contained {
    server: Postgres,
    process: Option<Child>,
    _container: Container,
}

impl Contained {
    /// With OpenSSL of its own, at a place that is the container's alone.
    fn start(mut server: Postgres, network: PathBuf) -> Self {
        server.stop(libc::SIGINT);
        let id = container::id();
        let mut container = Container::new(&format!("/docker/{id}"), Net::Path(network));
        container.mount(server.directory(), "rw");
        let owner = fs::metadata(server.data()).expect("its folder");
        container.user(owner.uid(), owner.gid());
        let own = container.root().join("opt/ssl");
        fs::create_dir_all(&own).expect("make a folder");
        let program = PathBuf::from(server.command("postgres").get_program());
        for library in libraries(&program) {
            let name = library.file_name().expect("a name");
            fs::copy(&library, own.join(name)).expect("copy a library");
        }
        container.env("LD_LIBRARY_PATH", "/opt/ssl");
        let mut inside = Command::new(program);
        inside.arg("-D").arg(server.data());
        let log = fs::OpenOptions::new().append(true).open(server.log());
        let log = log.expect("open the server's log");
        let process = container
            .command(&inside)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("clone"))
            .stderr(log)
            .spawn()
            .expect("run runc: run `cargo xtask setup`");
        let contained = Self {
            server,
            process: Some(process),
            _container: container,
        };
        wait_until("PostgreSQL in its container", || contained.is_ready());
        contained
    }

    fn is_ready(&self) -> bool {
        let host = self.server.unix().host;
        let port = self.server.port.to_string();
        let mut ask = self.server.command("pg_isready");
        ask.args(["--quiet", "--host", &host, "--port", &port]);
        ask.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // SAFETY: a child that was not waited for; it hands the signal on.
            unsafe { libc::kill(process.id().cast_signed(), libc::SIGINT) };
            process.wait().ok();
        }
    }
}

/// Those of OpenSSL that a program uses.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("run ldd");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter(|line| line.contains("libssl") || line.contains("libcrypto"))
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(PathBuf::from)
        .collect()
}

/// In clear and by TLS, over a cable, by a unix socket, and from another container; found when it runs and when it comes later.
#[test]
fn a_server_in_a_container() {
    let turn = Turn::take();
    // The lowest rung does not see what is said by TLS.
    let by_tls = !is_lowest_rung(&turn);
    let ssl = if by_tls { "ssl = on" } else { "ssl = off" };
    let network = Network::of(1);
    let host = &network.hosts[0];
    let server = Scene::server(&Options {
        configuration: ["listen_addresses = '*'", ssl].map(str::to_owned).to_vec(),
        authentication: vec!["host all all all trust".to_owned()],
        environment: Vec::new(),
    });
    let contained = Contained::start(server, host.path());
    let port = contained.server.port;
    let configuration = format!(
        "{}\n[kernel]\ntls = \"plaintext\"\n[principals]\nidentity = [\"user\", \"client_address\", \"container\"]\n",
        harness::CONFIGURATION
    );
    let sensor = Sensor::start(&turn, &configuration, &[]);
    for library in ["/opt/ssl/libssl", "/opt/ssl/libcrypto"] {
        assert_eq!(sensor.log().contains(library), by_tls, "{}", sensor.log());
    }
    let by = |mode: &str, host: &str, rows| {
        let mut client = psql(host, port, "ann", rows);
        let output = client.env("PGSSLMODE", mode).output().expect("run psql");
        assert!(output.status.success(), "{output:?}");
    };
    network.desk.run(|| by("disable", &host.address, 100));
    let required = if by_tls { "require" } else { "disable" };
    network.desk.run(|| by(required, &host.address, 200));
    let unix = contained.server.unix().host;
    by("prefer", &unix, 300);
    let id = container::id();
    let other = Container::new(&format!("/docker/{id}"), Net::Path(network.desk.path()));
    read(&other, &host.address, port, 400);
    contained.server.wait_until_idle();
    harness::pause(std::time::Duration::from_millis(300));
    let output = sensor.stop();
    let desk = network.desk.address.as_str();
    let expected: BTreeMap<_, _> = [
        (["ann", desk, ""], 300),
        (["ann", "local", ""], 300),
        (["ann", desk, &id], 400),
    ]
    .into_iter()
    .map(|(who, rows)| (who.map(str::to_owned).to_vec(), rows))
    .collect();
    let keys = ["user.name", "client.address", "container.id"];
    assert_eq!(rows_by(&output, &keys), expected);
}
