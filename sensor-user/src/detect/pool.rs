//! The reservoir of what is usual: standardised residuals of everybody, some days old.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::mix;

/// Values that are ranked against. Old ones make place at random, so that it remembers a few months of a small
/// company and some days of a large one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pool {
    values: Vec<f32>,
    /// Values too young to be ranked against: a change that is under way must not become the measure of itself.
    waiting: VecDeque<(u32, Vec<f32>)>,
    taken: u64,
    #[serde(skip)]
    sorted: Vec<f32>,
}

/// Values in the reservoir.
pub const CAPACITY: usize = 8192;
/// Values taken in of one day at most.
const A_DAY: usize = 2048;
/// Below this many there is no telling.
const LEAST: usize = 50;

impl Pool {
    /// Takes in the values of a closed day, which are ranked against `lag` days later.
    pub fn push(&mut self, day: u32, mut values: Vec<f32>, lag: u32) {
        // In whichever order they came, the same ones stay.
        values.sort_unstable_by(f32::total_cmp);
        if values.len() > A_DAY {
            // Evenly over all that there are, beginning at a place as good as random.
            let step = values.len() / A_DAY;
            let first = usize::try_from(mix(u64::from(day)) % step as u64).unwrap_or(0);
            values = values.into_iter().skip(first).step_by(step).collect();
        }
        self.waiting.push_back((day, values));
        let (mut come, mut gone) = (Vec::new(), Vec::new());
        while let Some((of, _)) = self.waiting.front()
            && of.saturating_add(lag) <= day
            && let Some((_, values)) = self.waiting.pop_front()
        {
            for value in values {
                self.taken += 1;
                if self.values.len() < CAPACITY {
                    self.values.push(value);
                } else {
                    let at = mix(self.taken) % CAPACITY as u64;
                    let place = &mut self.values[usize::try_from(at).unwrap_or(0)];
                    gone.push(std::mem::replace(place, value));
                }
                come.push(value);
            }
        }
        self.renew(come, gone);
    }

    /// The same as sorting all, without sorting what is sorted.
    fn renew(&mut self, mut come: Vec<f32>, mut gone: Vec<f32>) {
        come.sort_unstable_by(f32::total_cmp);
        self.sorted.extend(come);
        // Two runs: a stable sort merges them.
        self.sorted.sort_by(f32::total_cmp);
        gone.sort_unstable_by(f32::total_cmp);
        let mut gone = gone.into_iter().peekable();
        self.sorted
            .retain(|value| gone.next_if(|gone| gone.total_cmp(value).is_eq()).is_none());
    }

    /// To be called once after the state has been read back.
    pub fn sort(&mut self) {
        self.sorted.clone_from(&self.values);
        self.sorted.sort_unstable_by(f32::total_cmp);
    }

    /// Can it be ranked against yet?
    pub fn is_ready(&self) -> bool {
        self.sorted.len() >= LEAST
    }

    /// Conformal probability of a value at least as large. `tie`, evenly spread over 0–1, breaks ties.
    pub fn p_value(&self, value: f32, tie: f64) -> f64 {
        let below = self.sorted.partition_point(|known| *known < value);
        let equal = self.sorted[below..].partition_point(|known| *known <= value);
        let above = self.sorted.len() - below - equal;
        (above as f64 + tie * (equal as f64 + 1.0)) / (self.sorted.len() as f64 + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_fair_and_lag() {
        let mut pool = Pool::default();
        let spread = |seed: u64| {
            (0..100)
                .map(|n| mix(seed * 1000 + n) as f32)
                .collect::<Vec<_>>()
        };
        for day in 0..10 {
            pool.push(day, spread(u64::from(day)), 7);
            assert_eq!(pool.is_ready(), day >= 7, "day {day}");
        }
        let mean: f64 = spread(77)
            .iter()
            .map(|value| pool.p_value(*value, 0.5))
            .sum::<f64>()
            / 100.0;
        assert!((mean - 0.5).abs() < 0.1, "{mean}");
        assert!(pool.p_value(f32::MAX, 0.5) < 0.002);
    }

    #[test]
    fn what_is_ranked_against_is_what_is_kept() {
        let mut pool = Pool::default();
        for day in 0..60u32 {
            // Some days are larger than what is kept; many values are equal.
            let count = if day % 20 == 0 { 2048 } else { 700 };
            let values = (0..count).map(|n| (mix(n << 8 | u64::from(day)) % 500) as f32);
            pool.push(day, values.collect(), 2);
            let mut all = pool.values.clone();
            all.sort_unstable_by(f32::total_cmp);
            assert_eq!(pool.sorted, all, "day {day}");
        }
        assert_eq!(pool.values.len(), CAPACITY);
    }

    #[test]
    fn it_never_outgrows_its_capacity() {
        let mut pool = Pool::default();
        for day in 0..40 {
            pool.push(day, vec![day as f32; 100_000], 1);
        }
        assert_eq!(pool.values.len(), CAPACITY);
        assert!(
            pool.waiting
                .iter()
                .all(|(_, values)| values.len() <= 2 * A_DAY)
        );
    }
}
