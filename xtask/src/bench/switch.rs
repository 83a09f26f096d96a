//! Kernel programs of another process, attached and detached from here: within milliseconds, while what it has learnt
//! stays in its maps.

use std::{
    mem::offset_of,
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, bail};
use sensor_ebpf::connection::{CONNECTION_CLOSED, Connection};

use super::{bpf, programs};
use crate::signal;

/// Programs on sockets, reads before writes, so that no answer is seen without its request. (Names as the kernel cuts
/// them.)
const PROGRAMS: [&str; 2] = ["sock_recv_lengt", "sock_send_lengt"];
/// Where the sensor keeps the state of connections.
const SLOTS: &str = "SLOTS";

/// See the module. Off, the process is stopped, too: what it does belongs to the slices in which it is on.
#[derive(Debug)]
pub struct Switch {
    pid: u32,
    programs: Vec<OwnedFd>,
    links: Vec<OwnedFd>,
    connections: Option<Connections>,
}

impl Switch {
    /// Of a process that has loaded its programs and attached none of those on sockets, so many a hook. They are off.
    pub fn of(pid: u32, of_a_hook: usize) -> Result<Self> {
        let descriptors = programs::descriptors(pid)?;
        // By hook, in the order in which they were loaded: what they jump to has the same names behind them.
        let mut by_hook = PROGRAMS.map(|_| Vec::new());
        for id in descriptors
            .iter()
            .filter_map(|text| programs::field(text, "prog_id:"))
        {
            let program = bpf::program(id)?;
            let name = bpf::program_name(program.as_fd())?;
            if let Some(hook) = PROGRAMS.iter().position(|wanted| *wanted == name)
                && by_hook[hook].len() < of_a_hook
            {
                by_hook[hook].push(program);
            }
        }
        let mut found = Vec::new();
        let mut by_hook = by_hook.map(Vec::into_iter);
        for _ in 0..of_a_hook {
            found.extend(by_hook.iter_mut().filter_map(Iterator::next));
        }
        if found.len() != PROGRAMS.len() * of_a_hook {
            bail!(
                "process {pid} holds no programs {}: in-place slices need the tracepoints of Linux 6.3",
                PROGRAMS.join(" and ")
            );
        }
        let mut connections = None;
        for text in &descriptors {
            let Some(map) = programs::field(text, "map_id:").map(bpf::map).transpose()? else {
                continue;
            };
            if bpf::map_name(map.as_fd())? == SLOTS {
                let slots =
                    programs::field(text, "max_entries:").context("a map without a size")?;
                connections = Some(Connections {
                    map,
                    slots,
                    used: Vec::new(),
                });
            }
        }
        let switch = Self {
            pid,
            programs: found,
            links: Vec::new(),
            connections,
        };
        signal::send(pid, libc::SIGSTOP);
        Ok(switch)
    }

    /// On.
    pub fn on(&mut self) -> Result<()> {
        if let Some(connections) = &self.connections {
            connections.at_rest()?;
        }
        signal::send(self.pid, libc::SIGCONT);
        for program in &self.programs {
            self.links.push(bpf::attach(program.as_fd())?);
        }
        Ok(())
    }

    /// Off.
    pub fn off(&mut self) {
        self.links.clear();
        signal::send(self.pid, libc::SIGSTOP);
    }

    /// From now on, the connections that are open now begin each slice without a request that is being answered: of
    /// what was asked before, they have not seen the answer.
    pub fn keep_connections(&mut self) -> Result<()> {
        if let Some(connections) = &mut self.connections {
            connections.find()?;
        }
        Ok(())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // Stopped, it could not be ended.
        signal::send(self.pid, libc::SIGCONT);
    }
}

/// The sensor's state of connections.
#[derive(Debug)]
struct Connections {
    map: OwnedFd,
    slots: u32,
    used: Vec<u32>,
}

/// A slot's bytes.
type Bytes = [u8; size_of::<Connection>()];

impl Connections {
    fn find(&mut self) -> Result<()> {
        self.used.clear();
        for slot in 0..self.slots {
            let connection = self.read(slot)?;
            let id = u64::from_ne_bytes(field(&connection, offset_of!(Connection, id)));
            let [flags] = field(&connection, offset_of!(Connection, flags));
            if id != 0 && flags & CONNECTION_CLOSED == 0 {
                self.used.push(slot);
            }
        }
        Ok(())
    }

    fn at_rest(&self) -> Result<()> {
        for slot in &self.used {
            let mut connection = self.read(*slot)?;
            let mut zero = |offset: usize, length: usize| connection[offset..][..length].fill(0);
            zero(offset_of!(Connection, outstanding), 4);
            zero(offset_of!(Connection, response_bytes), 8);
            zero(offset_of!(Connection, rows), 8);
            zero(offset_of!(Connection, ordinal), 4);
            zero(offset_of!(Connection, sent_skip), 4);
            zero(offset_of!(Connection, received_skip), 4);
            zero(offset_of!(Connection, carried), 1);
            bpf::update(self.map.as_fd(), *slot, &mut connection)?;
        }
        Ok(())
    }

    fn read(&self, slot: u32) -> Result<Bytes> {
        let mut connection = [0; size_of::<Connection>()];
        bpf::look_up(self.map.as_fd(), slot, &mut connection)?;
        Ok(connection)
    }
}

fn field<const LENGTH: usize>(bytes: &Bytes, offset: usize) -> [u8; LENGTH] {
    std::array::from_fn(|i| bytes[offset + i])
}
