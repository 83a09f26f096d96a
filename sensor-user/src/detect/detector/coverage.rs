//! The coverage lane at the end of a day: everybody who touched a sensitive table, beside his peers.

use std::collections::BTreeMap;

use super::Detector;
use crate::{
    detect::{
        coverage::{Coverage, PEERS, Peers, Reason, WINDOWS},
        drift::Quantity,
        finding::{Finding, Lane, Subject},
        observation::{Keys, Observation},
        ring::quantile,
    },
    time::Timestamp,
};

/// Active days before a reader counts as a peer.
const PEER_DAYS: u16 = 20;
/// Days that a detector must have watched before it says who is new.
const ESTABLISHED: u32 = 30;

/// Logarithms of rates, by window, of the readers of a table.
type Rates = [Vec<f32>; WINDOWS.len()];

impl Detector {
    /// Takes in which records of sensitive tables were read. `first`: the number of the first table.
    pub(super) fn cover(
        &mut self,
        id: u32,
        day: u32,
        first: (u32, u32),
        observation: &Observation<'_>,
    ) {
        for (at, table) in observation.tables.iter().enumerate() {
            let key = match at {
                0 => first,
                _ => (
                    first.0,
                    self.state.places.number_within(table, super::PLACES),
                ),
            };
            let size = *self.sizes_known.entry(key).or_insert_with(|| {
                let size = self.sizes.rows(observation.database, table);
                self.config
                    .is_sensitive(observation.database, table, size.is_some())
                    .then_some(size)
            });
            if size.is_none() {
                continue;
            }
            let coverage = &mut self.state.principals[id as usize].coverage;
            let at = coverage
                .iter()
                .position(|known| known.table == key)
                .unwrap_or_else(|| {
                    coverage.push(Coverage::new(key));
                    coverage.len() - 1
                });
            match observation.keys {
                Keys::Hashes(hashes) => coverage[at].insert(day, hashes),
                Keys::Count(_) | Keys::Unknown => coverage[at].count(day, observation.counted()),
            }
            self.state.counters.updates += WINDOWS.len() as u64;
        }
    }

    /// Judges what the active ones have seen.
    pub(super) fn judge_coverage(
        &mut self,
        day: u32,
        time: Timestamp,
        active: &[u32],
        findings: &mut Vec<Finding>,
    ) {
        // Readers by table, and peers by table and group; the table's own under no group.
        let mut peers: BTreeMap<((u32, u32), Option<u32>), Rates> = BTreeMap::new();
        for id in active {
            let principal = &self.state.principals[*id as usize];
            for coverage in &principal.coverage {
                if coverage.days() < PEER_DAYS || coverage.active_days(0, day) == 0 {
                    continue;
                }
                for group in [Some(principal.group), None] {
                    let rates = peers.entry((coverage.table, group)).or_default();
                    for (window, rates) in rates.iter_mut().enumerate() {
                        rates.push((coverage.rate(window, day) + 1.0).ln() as f32);
                    }
                }
            }
        }
        let mut summary: BTreeMap<_, [Option<Peers>; WINDOWS.len()]> = BTreeMap::new();
        // A table's all come before its groups.
        for ((table, group), mut rates) in peers {
            let all = summary.get(&(table, None)).copied();
            let of = std::array::from_fn(|at| {
                let peers = summarise(&mut rates[at])?;
                Some(match all.and_then(|all| all[at]) {
                    Some(all) => peers.shrunk(rates[at].len(), &all),
                    None => peers,
                })
            });
            summary.insert((table, group), of);
        }
        let established = self.state.first_day + ESTABLISHED;
        for id in active {
            let principal = &mut self.state.principals[*id as usize];
            let group = principal.group;
            let newcomer = principal.first_day > established;
            for coverage in &mut principal.coverage {
                let table = coverage.table;
                let of_group = summary.get(&(table, Some(group)));
                let of_all = summary.get(&(table, None));
                let peers: [Option<Peers>; WINDOWS.len()] = std::array::from_fn(|at| {
                    of_group
                        .and_then(|peers| peers[at])
                        .or_else(|| of_all.and_then(|peers| peers[at]))
                });
                let size = self.sizes_known.get(&table).copied().flatten().flatten();
                let Some(excess) = coverage.judge(day, &peers, size, newcomer) else {
                    continue;
                };
                let records = coverage.records(excess.window, day);
                let days = coverage.active_days(excess.window, day);
                let scale = f64::from(days);
                findings.push(Finding {
                    lane: Lane::Coverage,
                    subject: Subject::Principal(*id),
                    time,
                    quantity: Quantity::Records,
                    observed: records,
                    expected: excess.expected * scale,
                    peers: peers[excess.window]
                        .map(|peers| (f64::from(peers.median).exp() - 1.0) * scale),
                    window: u64::from(WINDOWS[excess.window]) * 86_400,
                    days: u16::try_from(days).unwrap_or(u16::MAX),
                    log_odds: excess.log_odds,
                    table: Some(table),
                    share: size.map(|size| records / size as f64),
                    members: Vec::new(),
                    remark: Some(
                        match excess.reason {
                            Reason::AbovePeers => {
                                "That is far above both the peers and its own past."
                            }
                            Reason::Newcomer => {
                                "It is new here and is compared with its peers alone."
                            }
                            Reason::Ramp => {
                                "It came so slowly that no single week stood out; compared is with months ago."
                            }
                        }
                        .into(),
                    ),
                });
            }
        }
    }
}

fn summarise(rates: &mut [f32]) -> Option<Peers> {
    if rates.len() < PEERS {
        return None;
    }
    let median = quantile(rates, 0.5);
    // Half of the distance between the deciles that hold 68 %, the upper one where it is wider.
    let spread =
        (quantile(rates, 0.84) - median).max((quantile(rates, 0.84) - quantile(rates, 0.16)) / 2.0);
    Some(Peers { median, spread })
}
