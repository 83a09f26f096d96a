//! Statements of the support application: how often each is used, and what deployments do to them.

use rand::Rng as _;

use super::{
    calendar,
    random::{Purpose, Random, mix, stream},
    scenario,
};

/// See the module.
#[derive(Debug)]
pub struct Statements {
    fingerprints: Vec<u64>,
    /// Cumulative share of use.
    cumulative: Vec<f64>,
    deployment_weekday: u32,
    deployed: usize,
    random: Random,
}

impl Statements {
    pub fn new(scenario: &scenario::Statements, seed: u64, population: u64) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=scenario.count)
            .map(|rank| {
                sum += f64::from(rank).powf(-scenario.exponent);
                sum
            })
            .collect();
        for share in &mut cumulative {
            *share /= sum;
        }
        let mut random = stream(seed, population, Purpose::Population, 1);
        Self {
            fingerprints: (0..scenario.count).map(|_| random.random()).collect(),
            cumulative,
            deployment_weekday: scenario.deployment_weekday,
            deployed: (f64::from(scenario.count) * scenario.deployment_share).round() as usize,
            random,
        }
    }

    /// A new day; deployments change what is deployed then.
    pub fn day(&mut self, day: u32) {
        if day > 0 && calendar::weekday(day) == self.deployment_weekday as usize {
            for _ in 0..self.deployed {
                let at = self.random.random_range(0..self.fingerprints.len());
                self.fingerprints[at] = self.random.random();
            }
        }
    }

    /// Somebody's choice.
    pub fn choose(&self, random: &mut Random) -> u8 {
        let share: f64 = random.random();
        self.cumulative
            .partition_point(|cumulative| *cumulative < share)
            .min(self.fingerprints.len() - 1) as u8
    }

    pub fn fingerprint(&self, statement: u8) -> u64 {
        self.fingerprints[usize::from(statement)]
    }

    /// Bytes a row of a statement's results has.
    pub fn width(statement: u8) -> u64 {
        60 + mix(u64::from(statement)) % 81
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::scenario::Scenario;

    #[test]
    fn a_deployment_changes_a_twentieth_on_its_weekday() {
        let scenario = Scenario::load(None).expect("valid");
        let mut statements = Statements::new(&scenario.statements, 1, 0);
        let mut changed = [0; 7];
        for day in 1..701 {
            let before = statements.fingerprints.clone();
            statements.day(day);
            changed[calendar::weekday(day)] += before
                .iter()
                .zip(&statements.fingerprints)
                .filter(|(before, after)| before != after)
                .count();
        }
        // Two of forty; now and then the same one twice.
        assert!((190..=200).contains(&changed[1]), "{changed:?}");
        assert_eq!(changed.iter().sum::<usize>(), changed[1]);
    }
}
