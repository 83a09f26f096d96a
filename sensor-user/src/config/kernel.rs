//! `[kernel]`: the kernel side's buffers.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{error::Problem, units};

/// Which hooks the programs are put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// The best that the kernel takes.
    Auto,
    /// Tracepoints, or nothing.
    TpBtf,
    /// Ends of functions, or nothing.
    Fexit,
    /// Ends of system calls, or nothing.
    SysExit,
}

/// Whether hooks on sockets have a second program, for operations that the kernel keeps from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondPrograms {
    /// Where the kernel may preempt the first.
    Auto,
    /// In any case.
    Yes,
    /// In no case.
    No,
    /// And no first: as if the kernel kept all from it.
    Alone,
}

/// Of which servers connections are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of this host.
    All,
    /// Those in the sensor's own network namespace.
    Own,
}

/// What is seen of TLS connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// What they say, where the server's library can be probed.
    Plaintext,
    /// The same where a probe costs little on this host.
    Auto,
    /// How many bytes they carry.
    Bytes,
}

/// See the example file for what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Bytes of the ring, a power of two and a multiple of the page size.
    pub ring_bytes: u64,
    /// How often the ring is drained.
    pub drain_interval: Duration,
    /// Connections whose state has a place.
    pub max_connections: u32,
    /// Bytes of one result after which its rows are estimated while they stream; `None`: never.
    pub skim_after: Option<u64>,
    /// Which hooks.
    pub hooks: Hooks,
    /// Whether they have second programs.
    pub second_programs: SecondPrograms,
    /// Which network namespaces.
    pub network_namespace: Scope,
    /// What of TLS.
    pub tls: Tls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    ring_bytes: Option<Spanned<String>>,
    drain_interval: Option<Spanned<String>>,
    max_connections: Option<Spanned<u32>>,
    skim_after: Option<Spanned<String>>,
    hooks: Option<Spanned<String>>,
    second_programs: Option<Spanned<String>>,
    network_namespace: Option<Spanned<String>>,
    tls: Option<Spanned<String>>,
}

impl Section {
    pub fn build(self) -> Result<Kernel, Problem> {
        let ring_bytes = match &self.ring_bytes {
            None => 4 << 20,
            Some(text) => {
                let bytes = units::bytes(text)?;
                if !bytes.is_power_of_two() || !(4096..=1 << 30).contains(&bytes) {
                    return Err(Problem::new(
                        text.span(),
                        format!("`{}` can't be the size of the ring", text.get_ref()),
                        "give a power of two from 4KiB to 1GiB, such as \"8MiB\"",
                    ));
                }
                bytes
            }
        };
        let max_connections = match &self.max_connections {
            None => 32_768,
            Some(number) => {
                if !(64..=1 << 20).contains(number.get_ref()) {
                    return Err(Problem::new(
                        number.span(),
                        format!("{} connections can't be kept", number.get_ref()),
                        "give a number from 64 to 1048576, at least three times that of your connections",
                    ));
                }
                *number.get_ref()
            }
        };
        let hooks = choice(
            self.hooks.as_ref(),
            Hooks::Auto,
            &[
                ("auto", Hooks::Auto),
                ("tp_btf", Hooks::TpBtf),
                ("fexit", Hooks::Fexit),
                ("sys_exit", Hooks::SysExit),
            ],
            |other| format!("there are no hooks `{other}`"),
            "write \"auto\", \"tp_btf\", \"fexit\" or \"sys_exit\"",
        )?;
        let second_programs = choice(
            self.second_programs.as_ref(),
            SecondPrograms::Auto,
            &[
                ("auto", SecondPrograms::Auto),
                ("yes", SecondPrograms::Yes),
                ("no", SecondPrograms::No),
                ("alone", SecondPrograms::Alone),
            ],
            |other| format!("`{other}` does not say when there are second programs"),
            "write \"auto\" (where the kernel may preempt the first), \"yes\" or \"no\"",
        )?;
        let network_namespace = choice(
            self.network_namespace.as_ref(),
            Scope::All,
            &[("all", Scope::All), ("own", Scope::Own)],
            |other| format!("`{other}` says no network namespace"),
            "write \"all\" (every server of this host) or \"own\" (those in the sensor's own)",
        )?;
        let tls = choice(
            self.tls.as_ref(),
            Tls::Auto,
            &[
                ("auto", Tls::Auto),
                ("plaintext", Tls::Plaintext),
                ("bytes", Tls::Bytes),
            ],
            |other| format!("`{other}` does not say what to see of TLS connections"),
            "write \"plaintext\" (statements and rows, by probes on the server's OpenSSL), \"bytes\", or \"auto\"",
        )?;
        Ok(Kernel {
            tls,
            hooks,
            second_programs,
            network_namespace,
            ring_bytes,
            max_connections,
            drain_interval: match &self.drain_interval {
                None => Duration::from_millis(25),
                Some(text) => {
                    units::duration_within(text, Duration::from_millis(1), Duration::from_secs(1))?
                }
            },
            skim_after: match &self.skim_after {
                None => Some(64 << 10),
                Some(text) if text.get_ref() == "never" => None,
                Some(text) => Some(units::bytes(text)?),
            },
        })
    }
}

/// What a word stands for, of those that are known.
fn choice<T: Copy>(
    text: Option<&Spanned<String>>,
    default: T,
    known: &[(&str, T)],
    wrong: impl FnOnce(&str) -> String,
    help: &str,
) -> Result<T, Problem> {
    let Some(text) = text else {
        return Ok(default);
    };
    let word = text.get_ref().as_str();
    known
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, value)| *value)
        .ok_or_else(|| Problem::new(text.span(), wrong(word), help))
}
