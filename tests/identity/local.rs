//! Clients on this host: by unix sockets, over loopback, out of other namespaces and containers, behind sudo and its kin.

use std::{fs, path::Path, process::Command, time::Duration};

use harness::{Options, Turn, network::Network, pause};

use crate::scene::{As, Scene, attribute, psql, rows_by};

/// nobody, and the users of Debian's `games` and `man` as logins.
const NOBODY: u32 = 65534;
const LOGINS: [(u32, &str); 2] = [(5, "games"), (6, "man")];

const KEYS: [&str; 3] = [
    "process.user.name",
    "data_access.login_user.name",
    "client.address",
];

#[test]
fn a_login_shows_through_whatever_it_runs() {
    let scene = Scene::new("");
    let unix = scene.server.unix();
    let mut expected = std::collections::BTreeMap::new();
    let mut rows = 100;
    // As sudo, su, cron and sshd do: the login is set once, the uid changes later, and again.
    for (login_uid, login) in LOGINS {
        for (host, address) in [
            (unix.host.as_str(), "local"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
        ] {
            rows += 1;
            let client = As {
                uid: NOBODY,
                login_uid: Some(login_uid),
                cgroup: None,
            };
            client.run(psql(host, scene.server.port, "ann", rows));
            expected.insert(["nobody", login, address].map(str::to_owned).to_vec(), rows);
        }
    }
    assert_eq!(rows_by(&scene.finish(), &KEYS), expected);
}

#[test]
fn clients_in_other_namespaces() {
    let turn = Turn::take();
    let network = Network::of(1);
    let host = &network.hosts[0];
    let options = Options {
        configuration: vec!["listen_addresses = '*'".to_owned()],
        authentication: vec!["host all all all trust".to_owned()],
        environment: Vec::new(),
    };
    let server = host.run(|| Scene::server(&options));
    let scene = Scene::with(turn, server, "");
    let port = scene.server.port;
    let client = |login: usize| As {
        uid: NOBODY,
        login_uid: Some(LOGINS[login].0),
        cgroup: None,
    };
    // Over a cable between two network namespaces, and inside the server's.
    let desk = network.desk.address.clone();
    network
        .desk
        .run(|| client(0).run(psql(&host.address, port, "ann", 100)));
    host.run(|| client(1).run(psql("127.0.0.1", port, "ann", 200)));
    // In a pid namespace of its own, where it has number 1.
    let inner = psql(&scene.server.unix().host, port, "ann", 300);
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--pid", "--fork", "--"])
        .arg(inner.get_program())
        .args(inner.get_args());
    client(0).run(unshare);
    let expected = [
        (["nobody", "games", desk.as_str()], 100),
        (["nobody", "man", "127.0.0.1"], 200),
        (["nobody", "games", "local"], 300),
    ]
    .into_iter()
    .map(|(who, rows)| (who.map(str::to_owned).to_vec(), rows))
    .collect();
    assert_eq!(rows_by(&scene.finish(), &KEYS), expected);
}

/// A control group that goes with the test.
struct ControlGroup(String);

impl ControlGroup {
    fn new(path: &str) -> Self {
        // Both versions at once, one of them, or the other.
        let root = [
            "/sys/fs/cgroup/pids",
            "/sys/fs/cgroup/unified",
            "/sys/fs/cgroup",
        ]
        .into_iter()
        .find(|root| Path::new(root).join("cgroup.procs").exists())
        .expect("control groups");
        let path = format!("{root}/{path}");
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("make {path}: {error}"));
        Self(path)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // A process that has just ended may still be in it.
        for _ in 0..20 {
            if fs::remove_dir(&self.0).is_ok() {
                break;
            }
            pause(Duration::from_millis(50));
        }
        if let Some((parent, _)) = self.0.rsplit_once('/') {
            fs::remove_dir(parent).ok();
        }
    }
}

#[test]
fn containers_and_pods_by_their_control_groups() {
    const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const POD: &str = "2f1bd1ad-0ca8-4b2c-9e3f-0a1b2c3d4e5f";
    let scene = Scene::new(
        "[principals]\nidentity = [\"user\", \"container\", \"pod\"]\ncommand_lines = true\n\
         [[threshold]]\nname = \"many\"\nmeasure = \"rows\"\nwindow = \"1m\"\nlimit = 150",
    );
    let pod = ControlGroup::new(&format!(
        "kubepods-pod{}.slice/cri-containerd-{ID}.scope",
        POD.replace('-', "_")
    ));
    let host = scene.server.unix().host;
    let port = scene.server.port;
    let run = |cgroup: Option<&str>, rows| {
        let client = As {
            uid: NOBODY,
            login_uid: None,
            cgroup,
        };
        let mut command = psql(&host, port, "ann", rows);
        // It stays for a moment: who is gone at once is not looked at.
        command.args(["--command", "SELECT pg_sleep(0.2)"]);
        client.run(command);
    };
    run(None, 100);
    run(Some(&pod.0), 200);
    let output = scene.finish();
    let keys = ["user.name", "container.id", "k8s.pod.uid"];
    let expected = [(["ann", "", ""], 100), (["ann", ID, POD], 200)]
        .into_iter()
        .map(|(who, rows)| (who.map(str::to_owned).to_vec(), rows))
        .collect();
    assert_eq!(rows_by(&output, &keys), expected);
    let alerts = output.alerts();
    let [alert] = alerts.as_slice() else {
        panic!("expected one alert, got {alerts:#?}");
    };
    let of = |key| attribute(&alert.attributes, key);
    assert_eq!(of("container.id"), ID);
    assert_eq!(of("process.user.name"), "nobody");
    assert_eq!(of("client.address"), "local");
    assert!(
        of("process.executable.path").ends_with("/psql"),
        "{alert:?}"
    );
    assert!(
        of("process.command_line").contains("--dbname desk"),
        "{alert:?}"
    );
}
