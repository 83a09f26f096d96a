//! Connections and the principals behind them.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use sensor_ebpf::{
    connection::Protocol,
    record::{
        FAMILY_INET, FAMILY_INET6, FAMILY_UNIX, LocalClientRecord, OPEN_PREEXISTING, OpenRecord,
    },
};

use super::{
    ClientAddress, ConnectionId, DbSystem, OsUser, Principal, PrincipalId, Session, startup,
    users::Users,
};
use crate::{discover::Server, time::Timestamp};

/// Local clients remembered until their connection shows up at the server's end.
const CLIENTS: usize = 65_536;
/// `(uid_t)-1`: no login uid.
const UNSET: u32 = u32::MAX;

/// Joins what the kernel saw of a connection to the principal behind it.
#[derive(Debug)]
pub struct Resolver {
    principals: Vec<Arc<Principal>>,
    by_principal: HashMap<Arc<Principal>, PrincipalId>,
    sessions: HashMap<u64, Session>,
    /// Connections that have said nothing yet: who it is comes with their first packet, and until then nobody has a number.
    beginning: HashMap<u64, (Principal, Session)>,
    servers: HashMap<u32, Arc<Server>>,
    clients: HashMap<ClientKey, LocalClient>,
    clients_in_order: VecDeque<ClientKey>,
    /// TCP connections whose client, if it is local, has not been told of yet: those older than the sensor, and those
    /// whose server was seen to receive before the client was seen to have sent, on another CPU.
    awaiting: HashMap<ClientKey, u64>,
    /// The keys of `awaiting` by connection.
    awaited: HashMap<u64, ClientKey>,
    users: Users,
    max_principals: usize,
    /// Principals beyond the bound: counted under one that says so.
    pub folded: u64,
}

/// What ties a local client's end of a connection to the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ClientKey {
    /// Address of the client's `struct sock`.
    Unix(u64),
    /// Network namespace, client address and port, server port. Both ends of loopback share a namespace.
    Tcp(u32, IpAddr, u16, u16),
}

#[derive(Clone, Debug)]
struct LocalClient {
    pid: u32,
    uid: u32,
    login_uid: u32,
    command: Arc<str>,
}

impl LocalClient {
    /// It is this session's client.
    fn sign(&self, session: &mut Session) {
        session.program = self.command.clone();
        session.client_pid = Some(self.pid);
    }
}

impl Resolver {
    /// Empty; interns at most `max_principals`.
    pub fn new(max_principals: usize) -> Self {
        Self {
            principals: Vec::new(),
            by_principal: HashMap::new(),
            sessions: HashMap::new(),
            servers: HashMap::new(),
            clients: HashMap::new(),
            clients_in_order: VecDeque::new(),
            beginning: HashMap::new(),
            awaiting: HashMap::new(),
            awaited: HashMap::new(),
            users: Users::default(),
            max_principals,
            folded: 0,
        }
    }

    /// The servers that run now.
    pub fn set_servers(&mut self, servers: &[Server]) {
        self.servers = servers
            .iter()
            .map(|server| (server.pid, Arc::new(server.clone())))
            .collect();
    }

    /// Is this process a known server?
    pub fn knows_server(&self, pid: u32) -> bool {
        self.servers.contains_key(&pid)
    }

    /// A principal by its number.
    pub fn principal(&self, id: PrincipalId) -> &Arc<Principal> {
        &self.principals[id.0 as usize]
    }

    /// All principals so far, in the order of their numbers.
    pub fn principals(&self) -> &[Arc<Principal>] {
        &self.principals
    }

    /// The session of a connection.
    pub fn session(&self, connection: u64) -> Option<&Session> {
        self.sessions.get(&connection)
    }

    /// Is it open?
    pub fn is_open(&self, connection: u64) -> bool {
        self.sessions.contains_key(&connection) || self.beginning.contains_key(&connection)
    }

    /// Open connections.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// How many user names a name service was asked for.
    pub fn os_user(&mut self, uid: u32) -> OsUser {
        self.users.get(uid)
    }

    /// A local process talks to a watched server.
    pub fn local_client(&mut self, record: &LocalClientRecord) {
        let key = if record.family == FAMILY_UNIX {
            ClientKey::Unix(record.socket)
        } else {
            let Some(address) = address(record.family, &record.local_address) else {
                return;
            };
            ClientKey::Tcp(record.netns, address, record.local_port, record.remote_port)
        };
        let end = record.command.iter().position(|byte| *byte == 0);
        let command = startup::clean(&record.command[..end.unwrap_or(record.command.len())]);
        let client = LocalClient {
            pid: record.pid,
            uid: record.uid,
            login_uid: record.login_uid,
            command,
        };
        if let Some(connection) = self.awaiting.remove(&key) {
            self.awaited.remove(&connection);
            self.join(connection, &client);
        }
        if self.clients.insert(key, client).is_none() {
            self.clients_in_order.push_back(key);
            if self.clients_in_order.len() > CLIENTS
                && let Some(oldest) = self.clients_in_order.pop_front()
            {
                self.clients.remove(&oldest);
            }
        }
    }

    /// The local client of a connection has shown up after the connection itself.
    fn join(&mut self, connection: u64, client: &LocalClient) {
        let os_user = Some(self.users.get(client.uid));
        let login_user = self.login_user(client);
        if let Some((principal, session)) = self.beginning.get_mut(&connection) {
            principal.os_user = os_user;
            principal.login_user = login_user;
            client.sign(session);
            return;
        }
        let Some(session) = self.sessions.get(&connection) else {
            return;
        };
        let mut principal = Principal::clone(self.principal(session.principal));
        principal.os_user = os_user;
        principal.login_user = login_user;
        let principal = self.intern(principal);
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.principal = principal;
            client.sign(session);
        }
    }

    fn login_user(&mut self, client: &LocalClient) -> Option<OsUser> {
        (client.login_uid != UNSET).then(|| self.users.get(client.login_uid))
    }

    /// A connection was seen for the first time.
    pub fn opened(&mut self, record: &OpenRecord, time: Timestamp) {
        let preexisting = record.header.flags & OPEN_PREEXISTING != 0;
        let client_address = if record.family == FAMILY_UNIX {
            ClientAddress::Unix
        } else {
            address(record.family, &record.remote_address)
                .map_or(ClientAddress::Unknown, ClientAddress::Ip)
        };
        let local = self.local_end(record, client_address);
        let os_user = local.as_ref().map(|client| self.users.get(client.uid));
        let login_user = local.as_ref().and_then(|client| self.login_user(client));
        if local.is_none()
            && let Some(key) = client_key(record, client_address)
        {
            let connection = record.header.connection;
            if let Some(older) = self.awaiting.insert(key, connection) {
                self.awaited.remove(&older);
            }
            self.awaited.insert(connection, key);
        }
        // The parent of a backend is its postmaster; a process that serves connections itself is its own server.
        let server = self
            .servers
            .get(&record.server_parent)
            .or_else(|| self.servers.get(&record.server_pid));
        let (name, port) = server.map_or_else(
            || {
                (
                    format!("unknown:{}", record.local_port).into(),
                    record.local_port,
                )
            },
            |server| (server.name.clone(), server.port),
        );
        let titled = preexisting
            .then(|| title(record.server_pid))
            .flatten()
            .and_then(|title| startup::parse_title(&title));
        let system = match server {
            Some(server) => server.system,
            None if record.header.tag == Protocol::MySql as u8 => DbSystem::MySql,
            None => DbSystem::PostgreSql,
        };
        let principal = Principal {
            system,
            server: name,
            server_port: port,
            user: titled.as_ref().map(|(user, _, _)| user.clone()),
            client: client_address,
            os_user,
            login_user,
        };
        self.beginning.insert(
            record.header.connection,
            (
                principal,
                Session {
                    connection: ConnectionId(record.header.connection),
                    // Until it begins.
                    principal: PrincipalId(u32::MAX),
                    database: titled.map_or_else(|| "".into(), |(_, database, _)| database),
                    application_name: "".into(),
                    program: local
                        .as_ref()
                        .map_or_else(|| "".into(), |client| client.command.clone()),
                    client_pid: local.as_ref().map(|client| client.pid),
                    client_port: record.remote_port,
                    server_pid: record.server_pid,
                    since: time,
                    preexisting,
                    replication: false,
                },
            ),
        );
        if preexisting {
            self.begin(record.header.connection);
        }
    }

    /// A connection of which no more is known before something is attributed to it. True when there is one.
    pub fn begin(&mut self, connection: u64) -> bool {
        let Some((principal, mut session)) = self.beginning.remove(&connection) else {
            return false;
        };
        session.principal = self.intern(principal);
        self.sessions.insert(connection, session);
        true
    }

    /// The client's end, when it is on this host.
    fn local_end(&mut self, record: &OpenRecord, address: ClientAddress) -> Option<LocalClient> {
        let key = client_key(record, address)?;
        if let Some(client) = self.clients.get(&key) {
            return Some(client.clone());
        }
        // The client has not sent since the sensor runs: the socket's own credentials, as of its connect().
        if record.family == FAMILY_UNIX && record.peer_uid != UNSET {
            let pid = record.peer_pid;
            return Some(LocalClient {
                pid,
                uid: record.peer_uid,
                login_uid: login_uid(pid).unwrap_or(UNSET),
                command: crate::discover::command_and_parent(pid).map_or_else(
                    || "".into(),
                    |(command, _)| startup::clean(command.as_bytes()),
                ),
            });
        }
        None
    }

    /// The start-up packet told user and database.
    pub fn started(&mut self, connection: u64, kind: u8, parameters: &[u8], truncated: bool) {
        let told = startup::read(kind, parameters, truncated);
        let mut principal = if let Some((principal, session)) = self.beginning.remove(&connection) {
            self.sessions.insert(connection, session);
            principal
        } else if let Some(session) = self.sessions.get(&connection) {
            Principal::clone(self.principal(session.principal))
        } else {
            return;
        };
        principal.user = told.user;
        let principal = self.intern(principal);
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.principal = principal;
            session.database = told.database.unwrap_or_else(|| "".into());
            session.application_name = told.application_name;
            session.replication = told.replication;
        }
    }

    /// A connection went on to another database.
    pub fn uses(&mut self, connection: u64, database: Arc<str>) {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.database = database;
        }
    }

    /// The session of a connection whose open record has not arrived (it is sent again): a placeholder.
    pub fn placeholder(&mut self, connection: u64, time: Timestamp) {
        let principal = self.intern(Principal {
            system: DbSystem::PostgreSql,
            server: "unknown".into(),
            server_port: 0,
            user: None,
            client: ClientAddress::Unknown,
            os_user: None,
            login_user: None,
        });
        self.sessions.entry(connection).or_insert_with(|| Session {
            connection: ConnectionId(connection),
            principal,
            database: "".into(),
            application_name: "".into(),
            program: "".into(),
            client_pid: None,
            client_port: 0,
            server_pid: 0,
            since: time,
            preexisting: true,
            replication: false,
        });
    }

    /// A connection ended.
    pub fn closed(&mut self, connection: u64) -> Option<Session> {
        if let Some(key) = self.awaited.remove(&connection) {
            self.awaiting.remove(&key);
        }
        self.beginning.remove(&connection);
        self.sessions.remove(&connection)
    }

    /// Connections that a server process served.
    pub fn connections_of(&self, server_pid: u32) -> Vec<u64> {
        let beginning = self.beginning.values().map(|(_, session)| session);
        self.sessions
            .values()
            .chain(beginning)
            .filter(|session| session.server_pid == server_pid)
            .map(|session| session.connection.0)
            .collect()
    }

    /// The number of a principal, a new one for a new principal.
    pub fn intern(&mut self, principal: Principal) -> PrincipalId {
        if let Some(id) = self.by_principal.get(&principal) {
            return *id;
        }
        if self.principals.len() >= self.max_principals {
            self.folded += 1;
            let other = Principal {
                user: Some("(other)".into()),
                client: ClientAddress::Unknown,
                os_user: None,
                login_user: None,
                ..principal
            };
            if let Some(id) = self.by_principal.get(&other) {
                return *id;
            }
            return self.add(other);
        }
        self.add(principal)
    }

    fn add(&mut self, principal: Principal) -> PrincipalId {
        let id = PrincipalId(u32::try_from(self.principals.len()).unwrap_or(u32::MAX));
        let principal = Arc::new(principal);
        self.principals.push(principal.clone());
        self.by_principal.insert(principal, id);
        id
    }
}

/// Under which key the client's end reports itself.
fn client_key(record: &OpenRecord, address: ClientAddress) -> Option<ClientKey> {
    match address {
        ClientAddress::Unix => Some(ClientKey::Unix(record.peer_socket)),
        ClientAddress::Ip(ip) => Some(ClientKey::Tcp(
            record.netns,
            ip,
            record.remote_port,
            record.local_port,
        )),
        ClientAddress::Unknown => None,
    }
}

/// An address of the kernel's record; IPv4-mapped ones become IPv4.
fn address(family: u16, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        FAMILY_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        FAMILY_INET6 => Some(IpAddr::from(Ipv6Addr::from(*bytes)).to_canonical()),
        _ => None,
    }
}

fn login_uid(pid: u32) -> Option<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/loginuid"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn title(pid: u32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::record::RecordHeader;

    use super::*;

    fn open(connection: u64, peer_socket: u64) -> OpenRecord {
        OpenRecord {
            header: RecordHeader {
                connection,
                ..RecordHeader::default()
            },
            family: FAMILY_UNIX,
            peer_socket,
            peer_uid: 0,
            ..OpenRecord::default()
        }
    }

    #[test]
    fn joins_both_ends_of_a_unix_socket() {
        let mut resolver = Resolver::new(10);
        let mut command = [0; 16];
        command[..4].copy_from_slice(b"psql");
        resolver.local_client(&LocalClientRecord {
            socket: 77,
            family: FAMILY_UNIX,
            uid: 0,
            login_uid: 4_000_000,
            pid: 42,
            command,
            ..LocalClientRecord::default()
        });
        resolver.opened(&open(1, 77), Timestamp(1));
        resolver.started(1, 0, b"user\0ann\0\0", false);
        let session = resolver.session(1).expect("session").clone();
        assert_eq!(&*session.program, "psql");
        assert_eq!(session.client_pid, Some(42));
        let principal = resolver.principal(session.principal);
        assert_eq!(principal.user.as_deref(), Some("ann"));
        assert_eq!(principal.os_user.as_ref().map(|user| user.uid), Some(0));
        assert_eq!(
            principal.login_user.as_ref().map(|user| &*user.name),
            Some("4000000")
        );
    }

    #[test]
    fn a_local_client_told_of_after_its_connection_is_joined_to_it() {
        let (address, local_port) = (1, 40_000);
        let mut loopback = [0; 16];
        loopback[..4].copy_from_slice(&[127, 0, 0, address]);
        for told_first in [false, true] {
            let mut resolver = Resolver::new(10);
            let mut server = open(1, 0);
            server.family = FAMILY_INET;
            server.remote_address = loopback;
            server.remote_port = local_port;
            server.local_port = 5432;
            resolver.opened(&server, Timestamp(1));
            if told_first {
                resolver.started(1, 0, b"user\0ann\0\0", false);
            }
            resolver.local_client(&LocalClientRecord {
                family: FAMILY_INET,
                uid: 0,
                login_uid: UNSET,
                pid: 42,
                local_address: loopback,
                local_port,
                remote_port: 5432,
                ..LocalClientRecord::default()
            });
            if !told_first {
                resolver.started(1, 0, b"user\0ann\0\0", false);
            }
            let session = resolver.session(1).expect("session").clone();
            assert_eq!(session.client_pid, Some(42));
            let principal = resolver.principal(session.principal);
            assert_eq!(principal.user.as_deref(), Some("ann"));
            assert_eq!(principal.os_user.as_ref().map(|user| user.uid), Some(0));
            resolver.closed(1);
            assert!(resolver.awaiting.is_empty() && resolver.awaited.is_empty());
        }
    }

    #[test]
    fn a_connection_that_closes_is_awaited_no_longer() {
        let mut resolver = Resolver::new(10);
        let mut server = open(1, 0);
        server.family = FAMILY_INET;
        resolver.opened(&server, Timestamp(1));
        assert_eq!((resolver.awaiting.len(), resolver.awaited.len()), (1, 1));
        resolver.closed(1);
        assert_eq!((resolver.awaiting.len(), resolver.awaited.len()), (0, 0));
    }

    #[test]
    fn equal_principals_are_one() {
        let mut resolver = Resolver::new(10);
        for connection in 1..=2 {
            resolver.opened(&open(connection, 0), Timestamp(1));
            resolver.started(connection, 0, b"user\0ann\0\0", false);
        }
        assert_eq!(
            resolver.session(1).map(|session| session.principal),
            resolver.session(2).map(|session| session.principal)
        );
    }

    #[test]
    fn more_principals_than_allowed_become_other() {
        let mut resolver = Resolver::new(3);
        for connection in 1..=10 {
            resolver.opened(&open(connection, 0), Timestamp(1));
            resolver.started(
                connection,
                0,
                format!("user\0u{connection}\0\0").as_bytes(),
                false,
            );
        }
        assert!(resolver.principals().len() <= 4);
        assert!(resolver.folded > 0);
        let last = resolver.session(10).expect("session").principal;
        assert_eq!(resolver.principal(last).user.as_deref(), Some("(other)"));
    }
}
