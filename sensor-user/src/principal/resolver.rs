//! Connections and the principals behind them.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use sensor_ebpf::{
    connection::Protocol,
    record::{FAMILY_UNIX, LocalClientRecord, OPEN_PREEXISTING, OpenRecord, StartupKind},
};

use super::{
    ClientAddress, ConnectionId, DbSystem, OsUser, Principal, PrincipalId, Session, certificate,
    identity::Identity,
    interner::Interner,
    local::{self, Clients},
    pooler::Poolers,
    process::{self, Process, UNSET, Until},
    redis::{self, Claims},
    role::Roles,
    startup,
    title::Titles,
    users::Users,
};
use crate::{
    config::principals::Principals, discover::Server, inventory::ActiveClient,
    sql::session::Change, time::Timestamp,
};

/// Begin of the name of a server that is not known.
const UNKNOWN: &str = "unknown";

/// Command names of poolers.
const POOLERS: [&str; 4] = ["pgbouncer", "pgpool", "pgcat", "odyssey"];

/// Joins what the kernel saw of a connection to the principal behind it.
#[derive(Debug)]
pub struct Resolver {
    principals: Interner,
    identity: Identity,
    /// Addresses of poolers on other hosts.
    poolers: Vec<IpAddr>,
    sessions: HashMap<u64, Session>,
    /// Connections that have said nothing yet: who it is comes with their first packet, and until then nobody has a number.
    beginning: HashMap<u64, Session>,
    /// Of connections that have set one, or may undo it.
    roles: HashMap<u64, Roles>,
    /// MySQL's connections whose user was changed, as they were before: the server may refuse.
    changing: HashMap<u64, Session>,
    servers: HashMap<u32, Arc<Server>>,
    clients: Clients,
    users: Users,
    names: Names,
    pooled: Poolers,
    titles: Titles,
    /// What clients of Redis say, until the server has answered.
    claims: Claims,
}

/// Names that many sessions have, of databases and applications: kept once.
#[derive(Debug, Default)]
struct Names(HashSet<Arc<str>>);

/// So many are remembered; clients can make up more.
const NAMES: usize = 10_000;

impl Names {
    /// Has an equal name that is kept already take the place of this one.
    fn share(&mut self, name: &mut Arc<str>) {
        if let Some(known) = self.0.get(name) {
            *name = known.clone();
        } else if self.0.len() < NAMES {
            self.0.insert(name.clone());
        }
    }
}

impl Resolver {
    /// Empty; interns at most `max_principals`.
    pub fn new(max_principals: usize, config: &Principals) -> Self {
        Self {
            principals: Interner::new(max_principals),
            identity: config.identity.clone(),
            poolers: config.poolers.clone(),
            sessions: HashMap::new(),
            beginning: HashMap::new(),
            roles: HashMap::new(),
            changing: HashMap::new(),
            servers: HashMap::new(),
            clients: Clients::new(config.command_lines),
            users: Users::default(),
            names: Names::default(),
            pooled: Poolers::default(),
            titles: Titles::default(),
            claims: Claims::default(),
        }
    }

    /// The servers that run now.
    pub fn set_servers(&mut self, servers: &[Server]) {
        self.servers = servers
            .iter()
            .map(|server| (server.pid, Arc::new(server.clone())))
            .collect();
        self.pooled.retain(&self.poolers_on_this_host());
        self.name_strangers();
    }

    /// Sessions with servers that were not known yet bear their names from now on.
    fn name_strangers(&mut self) {
        let strangers = |session: &&Session| session.who.server.starts_with(UNKNOWN);
        for mut session in self
            .sessions
            .values()
            .filter(strangers)
            .cloned()
            .collect::<Vec<_>>()
        {
            if let Some(server) = self.servers.get(&session.server_pid) {
                let who = Arc::make_mut(&mut session.who);
                who.system = server.system;
                who.server = server.name.clone();
                who.server_port = server.port;
                self.put(session);
            }
        }
    }

    /// The programs have just been attached: what is older than this moment may be gone before it is looked at.
    pub fn begins(&mut self) {
        self.titles = Titles::gather();
    }

    fn poolers_on_this_host(&self) -> HashSet<u32> {
        let poolers = self.servers.values().filter(|server| server.pooler);
        poolers.map(|server| server.pid).collect()
    }

    /// Is this process a watched pooler?
    fn is_pooler(&self, pid: u32) -> bool {
        self.servers.get(&pid).is_some_and(|server| server.pooler)
    }

    /// A connection's bytes are, or are not, understood from now on.
    pub fn understood(&mut self, connection: u64, is: bool) {
        let Some(session) = self.sessions.get(&connection) else {
            return;
        };
        let pid = session.server_pid;
        if self.is_pooler(pid) {
            self.pooled.understood(connection, pid, is);
        }
    }

    /// Does a watched pooler ask on this session for clients whose own connections, all of them, are seen? Then it has been counted
    /// there, or will be.
    pub fn is_counted_at_front(&self, session: &Session) -> bool {
        self.pooler_of(session)
            .is_some_and(|pooler| self.pooled.is_open(pooler))
    }

    /// The watched pooler that is a session's client, by its process.
    fn pooler_of(&self, session: &Session) -> Option<u32> {
        // Nearly always there is none: nothing is looked up then.
        session.pooler.as_ref()?;
        let process = session.process.as_ref()?;
        self.is_pooler(process.pid).then_some(process.pid)
    }

    /// Is this process a known server?
    pub fn knows_server(&self, pid: u32) -> bool {
        self.servers.contains_key(&pid)
    }

    /// A principal by its number.
    pub fn principal(&self, id: PrincipalId) -> &Arc<Principal> {
        self.principals.get(id)
    }

    /// All principals so far, in the order of their numbers.
    pub fn principals(&self) -> &[Arc<Principal>] {
        self.principals.all()
    }

    /// Principals beyond the bound: counted under one that says so.
    pub fn folded(&self) -> u64 {
        self.principals.folded
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

    /// A user of this host by its number.
    pub fn os_user(&mut self, uid: u32) -> OsUser {
        self.users.get(uid)
    }

    /// A local process talks to a watched server.
    pub fn local_client(&mut self, record: &LocalClientRecord) {
        let Some((connection, process)) = self.clients.told(record) else {
            return;
        };
        if let Some(mut session) = self.beginning.remove(&connection) {
            self.sign(&mut session, &process);
            self.beginning.insert(connection, session);
        } else if let Some(mut session) = self.sessions.get(&connection).cloned() {
            self.sign(&mut session, &process);
            self.put(session);
        }
    }

    /// It is this session's client.
    fn sign(&mut self, session: &mut Session, process: &Arc<Process>) {
        let who = Arc::make_mut(&mut session.who);
        who.os_user = (process.uid != UNSET).then(|| self.users.get(process.uid));
        who.login_user = (process.login_uid != UNSET).then(|| self.users.get(process.login_uid));
        session.program = process.program.clone();
        session.client_pid = (process.pid != 0).then_some(process.pid);
        session.process = Some(process.clone());
        if POOLERS.contains(&&*process.program) {
            session.pooler = Some(process.program.clone());
        }
    }

    /// A connection was seen for the first time.
    pub fn opened(&mut self, record: &OpenRecord, time: Timestamp) {
        let preexisting = record.header.flags & OPEN_PREEXISTING != 0;
        let client = if record.family == FAMILY_UNIX {
            ClientAddress::Unix
        } else {
            local::address(record.family, &record.remote_address)
                .map_or(ClientAddress::Unknown, ClientAddress::Ip)
        };
        // The parent of a backend is its postmaster; a process that serves connections itself is its own server.
        let server = self
            .servers
            .get(&record.server_parent)
            .or_else(|| self.servers.get(&record.server_pid));
        let (name, port) = server.map_or_else(
            || {
                (
                    format!("{UNKNOWN}:{}", record.local_port).into(),
                    record.local_port,
                )
            },
            |server| (server.name.clone(), server.port),
        );
        let system = match server {
            Some(server) => server.system,
            None if record.header.tag == Protocol::MySql as u8 => DbSystem::MySql,
            None if record.header.tag == Protocol::Redis as u8 => DbSystem::Redis,
            None => DbSystem::PostgreSql,
        };
        let is_redis = system == DbSystem::Redis;
        let titled = preexisting
            .then(|| {
                self.titles
                    .of(record.server_pid, client, record.remote_port)
            })
            .flatten();
        let connection = record.header.connection;
        let mut session = Session {
            who: Arc::new(Principal {
                system,
                server: name,
                server_port: port,
                before_start: preexisting && titled.is_none(),
                user: titled.as_ref().map(|(user, _)| user.clone()),
                client,
                ..Principal::default()
            }),
            database: titled.map_or_else(|| "".into(), |(_, database)| database),
            client_port: record.remote_port,
            server_pid: record.server_pid,
            preexisting,
            // No principal until it begins.
            ..Session::new(ConnectionId(connection), PrincipalId(u32::MAX), time)
        };
        if let ClientAddress::Ip(ip) = client
            && self.poolers.contains(&ip)
        {
            session.pooler = Some(ip.to_string().into());
        }
        if let Some(process) = self.local_end(record, client) {
            self.sign(&mut session, &process);
        }
        if is_redis && !preexisting {
            Arc::make_mut(&mut session.who).user = Some(redis::DEFAULT_USER.into());
            session.database = redis::FIRST_DATABASE.into();
        }
        self.beginning.insert(connection, session);
        if preexisting {
            self.begin(connection);
            self.understood(connection, false);
        }
    }

    /// The client's end, when it is on this host.
    fn local_end(&mut self, record: &OpenRecord, client: ClientAddress) -> Option<Arc<Process>> {
        if let Some(process) = self.clients.opened(record, client) {
            return Some(process);
        }
        // It has not been seen to send: the socket's own credentials, as of its connect().
        (client == ClientAddress::Unix && record.peer_uid != UNSET).then(|| {
            Arc::new(process::peer(
                record.peer_pid,
                record.peer_uid,
                // A process of the connection's own began behind it; others are older than their clients.
                if record.header.tag == Protocol::Redis as u8 {
                    Until::Moment(record.time)
                } else {
                    Until::Process(record.server_pid)
                },
                self.clients.command_lines(),
            ))
        })
    }

    /// A connection of which no more is known before something is attributed to it. True when there is one.
    pub fn begin(&mut self, connection: u64) -> bool {
        let Some(session) = self.beginning.remove(&connection) else {
            return false;
        };
        self.put(session);
        true
    }

    /// Keeps a session, under the principal that it has by all that is known now.
    fn put(&mut self, mut session: Session) {
        self.look_behind_pooler(&mut session);
        session.principal = self
            .principals
            .intern(self.identity.of(&session.who, &session));
        // Nearly always nothing is known beyond what the identity is made of.
        let principal = self.principals.get(session.principal);
        if **principal == *session.who {
            session.who = principal.clone();
        }
        for name in [
            &mut session.database,
            &mut session.application_name,
            &mut session.program,
        ] {
            self.names.share(name);
        }
        self.sessions.insert(session.connection.0, session);
    }

    /// Connections of a pooler tell which server its clients' are with.
    fn look_behind_pooler(&mut self, session: &mut Session) {
        if let Some(pooler) = self.pooler_of(session)
            && !session.database.is_empty()
        {
            let (server, port) = (session.who.server.clone(), session.who.server_port);
            if self.pooled.leads(pooler, &session.database, &server, port) {
                let front = |other: &&Session| {
                    other.server_pid == pooler && other.database == session.database
                };
                let front: Vec<Session> = self.sessions.values().filter(front).cloned().collect();
                for other in front {
                    self.put(other);
                }
            }
        } else if let Some(pooler) = self.servers.get(&session.server_pid)
            && pooler.pooler
        {
            let behind = self.pooled.server(session.server_pid, &session.database);
            let (server, port) = behind.unwrap_or_else(|| (pooler.name.clone(), pooler.port));
            if session.who.server != server {
                let who = Arc::make_mut(&mut session.who);
                who.server = server;
                who.server_port = port;
            }
        }
    }

    /// The start-up packet told user and database.
    pub fn started(&mut self, connection: u64, kind: u8, parameters: &[u8], truncated: bool) {
        if kind == StartupKind::Redis as u8 {
            if let Some(claim) = self.claims.told(connection, parameters) {
                self.claimed(connection, &[claim]);
            }
            return;
        }
        if kind == StartupKind::MySqlRefused as u8 {
            if let Some(before) = self.changing.remove(&connection) {
                self.put(before);
            }
            return;
        }
        if kind == StartupKind::MySqlUnknown as u8 {
            self.unsure(connection);
            return;
        }
        if kind == StartupKind::MySqlChangeUser as u8
            && let Some(session) = self.sessions.get(&connection)
        {
            self.changing.insert(connection, session.clone());
        }
        let told = startup::read(kind, parameters, truncated);
        let Some(mut session) = self
            .beginning
            .remove(&connection)
            .or_else(|| self.sessions.get(&connection).cloned())
        else {
            return;
        };
        let who = Arc::make_mut(&mut session.who);
        who.user = told.user;
        who.before_start = false;
        session.database = told.database.unwrap_or_else(|| "".into());
        session.application_name = told.application_name;
        session.replication = told.replication;
        if told.role.is_some() {
            let mut roles = Roles::new(told.role);
            roles.begun_application = session.application_name.clone();
            who.role = roles.role(who.user.as_deref());
            self.roles.insert(connection, roles);
        }
        self.put(session);
    }

    /// Who asks from now on is not known any more. Of connections older than the sensor the server says it.
    fn unsure(&mut self, connection: u64) {
        let session = self.sessions.get(&connection);
        if let Some(mut session) = session.filter(|session| !session.preexisting).cloned() {
            Arc::make_mut(&mut session.who).user = None;
            self.put(session);
        }
    }

    /// The client has shown a certificate, which the server has verified.
    pub fn certified(&mut self, connection: u64, name: &[u8], truncated: bool) {
        let Some(subject) = certificate::subject(name, truncated) else {
            return;
        };
        if let Some(session) = self.beginning.get_mut(&connection) {
            session.certificate = Some(subject);
        } else if let Some(mut session) = self.sessions.get(&connection).cloned() {
            session.certificate = Some(subject);
            self.put(session);
        }
    }

    /// A connection went on to another database.
    pub fn uses(&mut self, connection: u64, database: Arc<str>) {
        if let Some(mut session) = self.sessions.get(&connection).cloned() {
            session.database = database;
            self.put(session);
        }
    }

    /// What follows on a connection is asked by whom these tags tell.
    pub fn tagged(&mut self, connection: u64, tags: Option<Arc<str>>) {
        if let Some(mut session) = self.sessions.get(&connection).cloned() {
            session.tags = tags;
            self.put(session);
        }
    }

    /// The server says who it is that a process of its serves. Believed of connections older than the sensor that have no user.
    pub fn identified(&mut self, server: u32, client: &ActiveClient) {
        let Some(name) = self.servers.get(&server).map(|server| server.name.clone()) else {
            return;
        };
        let nameless: Vec<Session> = self
            .sessions
            .values()
            .filter(|session| {
                session.server_pid == client.pid
                    && session.who.before_start
                    && session.who.server == name
                    && client.port.is_none_or(|port| port == session.client_port)
            })
            .cloned()
            .collect();
        // A process serves one connection.
        let [session] = nameless.as_slice() else {
            return;
        };
        let mut session = session.clone();
        let who = Arc::make_mut(&mut session.who);
        who.user = Some(startup::role_name(client.user.as_bytes()));
        who.before_start = false;
        session.database = startup::clean(client.database.as_bytes());
        if session.application_name.is_empty() {
            session.application_name = startup::clean(client.application.as_bytes());
        }
        self.put(session);
    }

    /// A statement runs, the `ordinal`th since the server was last ready for queries.
    pub fn runs(&mut self, connection: u64, ordinal: u32) {
        if let Some(roles) = self.roles.get_mut(&connection) {
            roles.runs(ordinal);
            self.apply_roles(connection);
        }
    }

    /// A statement failed.
    pub fn failed(&mut self, connection: u64) {
        if let Some(roles) = self.roles.get_mut(&connection) {
            roles.failed();
            self.apply_roles(connection);
        }
    }

    /// So many equal statements completed that change their session.
    pub fn changed(&mut self, connection: u64, change: &Change, count: u32) {
        self.roles_of(connection).changed(change, count);
        self.apply_roles(connection);
    }

    /// Something was set by a statement whose text is not known.
    pub fn changed_somehow(&mut self, connection: u64) {
        self.roles_of(connection).changed_somehow();
        self.apply_roles(connection);
    }

    fn roles_of(&mut self, connection: u64) -> &mut Roles {
        let sessions = &self.sessions;
        self.roles.entry(connection).or_insert_with(|| {
            let mut roles = Roles::new(None);
            if let Some(session) = sessions.get(&connection) {
                roles.begun_application = session.application_name.clone();
            }
            roles
        })
    }

    fn apply_roles(&mut self, connection: u64) {
        let (Some(roles), Some(session)) =
            (self.roles.get(&connection), self.sessions.get(&connection))
        else {
            return;
        };
        let role = roles.role(session.who.user.as_deref());
        let application = roles.application();
        if role == session.who.role && application == session.application_name {
            return;
        }
        let mut session = session.clone();
        Arc::make_mut(&mut session.who).role = role;
        session.application_name = application;
        self.put(session);
    }

    /// The principal without its role: a person stays the same, whichever role is in force. Detection judges that one.
    pub fn person(&mut self, id: PrincipalId) -> PrincipalId {
        let principal = self.principal(id);
        if principal.role.is_none() {
            return id;
        }
        let person = Principal {
            role: None,
            ..Principal::clone(principal)
        };
        self.principals.intern(person)
    }

    /// The same, for who looks on; `None` while nothing of that person has been judged.
    pub fn known_person(&self, id: PrincipalId) -> Option<PrincipalId> {
        let principal = self.principal(id);
        if principal.role.is_none() {
            return Some(id);
        }
        self.principals.find(&Principal {
            role: None,
            ..Principal::clone(principal)
        })
    }

    /// The session of a connection whose open record has not arrived (it is sent again): a placeholder.
    pub fn placeholder(&mut self, connection: u64, time: Timestamp) {
        self.put(Session {
            who: Arc::new(Principal {
                server: "unknown".into(),
                ..Principal::default()
            }),
            preexisting: true,
            ..Session::new(ConnectionId(connection), PrincipalId(u32::MAX), time)
        });
    }

    /// A connection ended.
    pub fn closed(&mut self, connection: u64) -> Option<Session> {
        self.clients.closed(connection);
        self.pooled.closed(connection);
        self.claims.closed(connection);
        self.roles.remove(&connection);
        self.changing.remove(&connection);
        self.beginning.remove(&connection);
        self.sessions.remove(&connection)
    }

    /// Connections that a server process served.
    pub fn connections_of(&self, server_pid: u32) -> Vec<u64> {
        self.sessions
            .values()
            .chain(self.beginning.values())
            .filter(|session| session.server_pid == server_pid)
            .map(|session| session.connection.0)
            .collect()
    }

    /// The number of a principal, a new one for a new principal.
    pub fn intern(&mut self, principal: Principal) -> PrincipalId {
        self.principals.intern(principal)
    }
}

mod names;
#[cfg(test)]
mod tests;
