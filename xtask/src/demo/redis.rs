//! The day on Redis: its own clients, and what comes back, counted by whoever asked.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};

use super::{
    AGENTS, INSIDER, Size,
    client::{ended, reading},
    data::agent,
    database::{Agent, Database},
    truth::Counts,
};
use crate::{
    command,
    redis::{Reply, Resp, Server},
    signal,
};

/// Commands of one write.
const AT_ONCE: u64 = 500;
/// Fields of a customer, with their values.
const CUSTOMER: u64 = 8;
/// Likewise of a ticket.
const TICKET: u64 = 8;
/// What an agent sees of a customer.
const SHOWN: [&str; 3] = ["name", "email", "phone"];
const STATES: [&str; 4] = ["open", "waiting", "closed", "spam"];
const SUBJECTS: [&str; 4] = [
    "Cannot log in",
    "Card declined",
    "Refund",
    "Invoice missing",
];

/// How many tickets of each agent are closed: much is read, little comes back.
const REPORT: &str = "
    local found = {}
    for i = 1, #ARGV do
        found[#found + 1] = ARGV[i]
        found[#found + 1] = redis.call('SINTERCARD', 2, 'status:closed', 'agent:' .. ARGV[i])
    end
    return found";

/// The server and what its users were given.
#[derive(Debug)]
pub struct Desk {
    server: Server,
    counted: Mutex<Counts>,
}

impl Desk {
    /// On this server.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            counted: Mutex::default(),
        }
    }

    fn add(&self, user: &str, queries: u64, rows: u64) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counted.entry(user.to_owned()).or_default();
        count.queries += queries;
        count.rows += rows;
    }

    /// redis-cli as a user. That it logs in is a query, too.
    fn client(&self, user: &str, unix: bool) -> Command {
        self.add(user, 1, 0);
        let mut client = self.server.client("redis-cli", unix);
        client.args(["--user", user, "-a", &password(user), "--no-auth-warning"]);
        client
    }

    /// One that reads its commands. It asks what commands there are, to help who types them.
    fn typing(&self, user: &str, unix: bool) -> Command {
        self.add(user, 1, 0);
        let mut client = self.client(user, unix);
        client.stdin(Stdio::piped());
        client
    }

    /// All keys of a kind, as a client gets them that asks page by page.
    fn keys(&self, user: &str, kind: &str, mut row: impl FnMut()) -> Result<Vec<String>> {
        let pages = self.server.calls("scan")?;
        let (child, output) =
            reading(
                self.client(user, false)
                    .args(["--scan", "--pattern", &format!("{kind}:*")]),
            )?;
        let mut keys = Vec::new();
        for line in output.lines() {
            keys.push(line.context("the keys broke off")?);
            row();
        }
        ended(child, "redis-cli --scan")?;
        // Nobody else goes through the keys at that time.
        let pages = self.server.calls("scan")? - pages;
        self.add(user, pages, keys.len() as u64);
        Ok(keys)
    }
}

fn password(user: &str) -> String {
    format!("{user}'s")
}

impl Database for Desk {
    fn load(&self, size: Size) -> Result<()> {
        let mut admin = self.server.connect()?;
        for name in (1..=AGENTS).map(agent) {
            let password = format!(">{}", password(&name));
            let rights = "~ticket:* ~customer:* +@read +@connection +hset +scan -@dangerous";
            set_user(&mut admin, &name, &password, rights)?;
        }
        for name in ["analyst", "backup"] {
            let password = format!(">{}", password(name));
            let rights = "~* +@read +@connection +@scripting +scan";
            set_user(&mut admin, name, &password, rights)?;
        }
        each(&mut admin, size.customers, |admin, id| {
            admin.put(&[
                "HSET",
                &format!("customer:{id}"),
                "name",
                &format!("Customer {id}"),
                "email",
                &format!("customer{id}@example.org"),
                "phone",
                &format!("+49 {} {:07}", 151 + id % 28, id * 7919 % 10_000_000),
                "created_at",
                &(1_767_225_600 - id * 104_729 % 94_608_000).to_string(),
            ]);
        })?;
        let choose = |from: &[&'static str], id: u64| from[(id % from.len() as u64) as usize];
        each(&mut admin, size.tickets, |admin, id| {
            let whose = agent((id % AGENTS as u64) as usize + 1);
            let (subject, status) = (choose(&SUBJECTS, id), choose(&STATES, id));
            let customer = (1 + id * 48_271 % size.customers).to_string();
            admin.put(&[
                "HSET",
                &format!("ticket:{id}"),
                "customer",
                &customer,
                "subject",
                subject,
                "status",
                status,
                "agent",
                &whose,
            ]);
        })?;
        each(&mut admin, size.tickets, |admin, id| {
            let status = format!("status:{}", choose(&STATES, id));
            admin.put(&["SADD", &status, &id.to_string()]);
        })?;
        each(&mut admin, size.tickets, |admin, id| {
            let whose = format!("agent:{}", agent((id % AGENTS as u64) as usize + 1));
            admin.put(&["SADD", &whose, &id.to_string()]);
        })
    }

    fn agent(&self, name: &str, unix: bool) -> Result<Box<dyn Agent + '_>> {
        let (child, answers) = reading(&mut self.typing(name, unix))?;
        Ok(Box::new(AtDesk {
            desk: self,
            name: name.to_owned(),
            child,
            answers,
        }))
    }

    fn report(&self) -> Result<()> {
        let mut client = self.client("analyst", true);
        client.args(["EVAL", REPORT, "0"]);
        let lines = command::output(client.args((1..=AGENTS).map(agent)))?;
        self.add("analyst", 1, lines.lines().count() as u64);
        Ok(())
    }

    fn backup(&self) -> Result<u64> {
        let mut client = self.server.connect()?;
        client.command(&["AUTH", "backup", &password("backup")])?;
        self.add("backup", 1, 0);
        let mut bytes = 0;
        for kind in ["customer", "ticket"] {
            let mut cursor = "0".to_owned();
            loop {
                let page = client.command(&[
                    "SCAN",
                    &cursor,
                    "MATCH",
                    &format!("{kind}:*"),
                    "COUNT",
                    "1000",
                ])?;
                let Reply::Many(parts) = page else {
                    bail!("SCAN says something else: {page:?}");
                };
                let [next, Reply::Many(keys)] = &parts[..] else {
                    bail!("SCAN says something else: {parts:?}");
                };
                self.add("backup", 1, keys.len() as u64);
                for key in keys {
                    client.put(&["HGETALL", key.text().context("no key")?]);
                }
                client.flush()?;
                for _ in keys {
                    let record = client.reply()?;
                    self.add("backup", 1, record.rows());
                    if let Reply::Many(parts) = &record {
                        bytes += parts
                            .iter()
                            .filter_map(Reply::text)
                            .map(|text| text.len() as u64)
                            .sum::<u64>();
                    }
                }
                signal::check()?;
                cursor = next.text().context("no cursor")?.to_owned();
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(bytes)
    }

    fn theft(&self) -> &'static str {
        "redis-cli --scan --pattern 'customer:*' | sed 's/^/HGETALL /' | redis-cli"
    }

    fn customers(&self) -> &'static str {
        "customer:*"
    }

    fn steal(&self, row: &mut dyn FnMut()) -> Result<()> {
        let keys = self.keys(INSIDER, "customer", &mut *row)?;
        let (mut child, output) = reading(&mut self.typing(INSIDER, false))?;
        let commands = child.stdin.take().context("no way to the client")?;
        let records = keys.len() as u64;
        let feeder = std::thread::spawn(move || -> Result<()> {
            let mut commands = std::io::BufWriter::new(commands);
            for key in keys {
                writeln!(commands, "HGETALL {key}").context("the client is gone")?;
            }
            commands.flush().context("the client is gone")
        });
        let mut rows = 0;
        for line in output.lines() {
            line.context("the insider's rows broke off")?;
            rows += 1;
            row();
        }
        self.add(INSIDER, records, rows);
        feeder
            .join()
            .map_err(|_| anyhow::anyhow!("the insider's pipe panicked"))??;
        ended(child, "the insider's client")
    }

    fn reset(&self) -> Result<()> {
        self.counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.server.command(&["CONFIG", "RESETSTAT"]).map(drop)
    }

    /// What clients were given, which has to fit what the server says that it did for all of them.
    fn counts(&self) -> Result<Counts> {
        let counted = self
            .counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let asked: u64 = counted.values().map(|count| count.queries).sum();
        let mut ran = 0;
        for name in [
            "auth",
            "command|docs",
            "hget",
            "hmget",
            "hgetall",
            "hset",
            "scan",
            "eval",
        ] {
            ran += self.server.calls(name)?;
        }
        if asked != ran {
            bail!("the clients asked {asked} times, but the server says {ran}");
        }
        Ok(counted)
    }

    fn statistics(&self) -> &'static str {
        "elements that came to its clients; commands, by INFO commandstats, too"
    }

    fn sizes(&self, size: Size) -> String {
        format!(
            "[tables]\n\"customer:*\" = {}\n\"ticket:*\" = {}",
            size.customers * CUSTOMER,
            size.tickets * TICKET
        )
    }

    fn shell(&self) -> String {
        format!(
            "redis-cli -s {} --user {INSIDER} -a {:?}",
            self.server.socket().display(),
            password(INSIDER)
        )
    }

    fn pid(&self) -> u32 {
        self.server.pid()
    }

    fn ends_by(&self) -> libc::c_int {
        libc::SIGTERM
    }
}

fn set_user(admin: &mut Resp, name: &str, password: &str, rights: &str) -> Result<()> {
    let mut command = vec!["ACL", "SETUSER", name, "on", password];
    command.extend(rights.split(' '));
    admin.command(&command).map(drop)
}

/// So many commands, many of them by one write.
fn each(admin: &mut Resp, count: u64, put: impl Fn(&mut Resp, u64)) -> Result<()> {
    let mut next = 1;
    while next <= count {
        signal::check()?;
        let last = (next + AT_ONCE - 1).min(count);
        for id in next..=last {
            put(admin, id);
        }
        admin.flush()?;
        for _ in next..=last {
            admin.reply()?;
        }
        next = last + 1;
    }
    Ok(())
}

/// A client that waits for commands, and what it prints: a line an element.
struct AtDesk<'a> {
    desk: &'a Desk,
    name: String,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl AtDesk<'_> {
    /// Gives a command; the first so many lines of what comes back.
    fn ask(&mut self, command: &str, lines: usize) -> Result<Vec<String>> {
        let to: &mut ChildStdin = self.child.stdin.as_mut().context("no way to the client")?;
        writeln!(to, "{command}").context("the client is gone")?;
        let mut answer = Vec::new();
        for _ in 0..lines {
            let mut line = String::new();
            let length = self
                .answers
                .read_line(&mut line)
                .with_context(|| format!("no answer to {command}"))?;
            if length == 0 {
                bail!("no answer to {command}: the client ended");
            }
            answer.push(line.trim_end().to_owned());
        }
        Ok(answer)
    }
}

impl Agent for AtDesk<'_> {
    fn look_up(&mut self, ticket: u64) -> Result<u64> {
        let customer = self.ask(&format!("HGET ticket:{ticket} customer"), 1)?;
        let [customer] = &customer[..] else {
            bail!("ticket {ticket} is nobody's");
        };
        let command = format!("HMGET customer:{customer} {}", SHOWN.join(" "));
        let shown = self.ask(&command, SHOWN.len())?.len() as u64;
        self.desk.add(&self.name, 2, 1 + shown);
        // What the limit is about is customers.
        Ok(shown)
    }

    fn close(&mut self, ticket: u64) -> Result<()> {
        self.ask(&format!("HSET ticket:{ticket} status closed"), 1)?;
        // A command that writes is a row written.
        self.desk.add(&self.name, 1, 1);
        Ok(())
    }

    fn leave(mut self: Box<Self>) -> Result<()> {
        drop(self.child.stdin.take());
        ended(self.child, "an agent's client")
    }
}
