//! The people of the slow demo: who looks up how many customers on which day, and when. One plan, from which the past is
//! written and the live days are played.

use rand::Rng as _;

use super::{AGENTS, data::agent};
use crate::eval::random::{Purpose, lognormal, normal, poisson, stream};

/// One of the agents, who begins to take more than the job needs.
pub const DRIFTER: usize = 7;
/// The agent who is hired on the first live day, and steals from then on.
pub const HIRE: usize = AGENTS + 1;
/// Look-ups that each of the two takes a day beyond the job's.
pub const STOLEN: u64 = 120;
/// Working hours.
pub const HOURS: std::ops::Range<f64> = 8.0..18.0;
/// Live days on which the drifter is still honest.
const HONEST_DAYS: u32 = 2;

const SEED: u64 = 7;

/// One look-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LookUp {
    /// Hour of the day.
    pub hour: f64,
    /// Which customer.
    pub customer: u64,
    /// Nobody asked for it.
    pub stolen: bool,
}

/// A day of one agent, in order of time. `live` counts live days from 0; `None` is the past.
pub fn day(index: usize, day: u32, live: Option<u32>, customers: u64) -> Vec<LookUp> {
    let mut person = stream(SEED, 0, Purpose::Person, index as u64);
    let usual = lognormal(&mut person, 40.0, 0.3);
    let mut random = stream(SEED, u64::from(day), Purpose::Person, index as u64);
    // The team's good and bad days are common to all.
    let team = normal(&mut stream(SEED, 0, Purpose::Team, u64::from(day)), 0.15);
    let own = normal(&mut random, 0.2);
    let honest = poisson(&mut random, usual * (team + own).exp());
    let steals = match (live, index) {
        (Some(live), DRIFTER) => live >= HONEST_DAYS,
        (Some(_), HIRE) => true,
        _ => false,
    };
    let mut look_ups: Vec<LookUp> = (0..honest + if steals { STOLEN } else { 0 })
        .map(|number| LookUp {
            hour: random.random_range(HOURS),
            customer: random.random_range(1..=customers),
            stolen: number >= honest,
        })
        .collect();
    look_ups.sort_by(|a, b| a.hour.total_cmp(&b.hour));
    look_ups
}

/// Whether an agent comes by unix socket; the others come by TCP.
pub fn local(index: usize) -> bool {
    index.is_multiple_of(2) || index == HIRE
}

/// The names of the two who steal.
pub fn thieves() -> [String; 2] {
    [agent(DRIFTER), agent(HIRE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_repeats_and_only_two_steal() {
        for index in 1..=HIRE {
            let stolen = |live| {
                day(index, 90, live, 1000)
                    .iter()
                    .filter(|look_up| look_up.stolen)
                    .count() as u64
            };
            assert_eq!(stolen(None), 0);
            assert_eq!(stolen(Some(0)), if index == HIRE { STOLEN } else { 0 });
            let later = if index == HIRE || index == DRIFTER {
                STOLEN
            } else {
                0
            };
            assert_eq!(stolen(Some(2)), later);
            assert_eq!(day(index, 90, None, 1000), day(index, 90, None, 1000));
        }
    }
}
