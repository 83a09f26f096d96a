//! What peers have in common on a day.

use crate::detect::ring::median;

/// Peers that everybody's median weighs as much as.
const PEERS_PRIOR: f32 = 6.0;
/// Principals that the weekday's usual weighs as much as.
const WEEKDAY_PRIOR: f32 = 4.0;

/// Residuals of a day, by group.
#[derive(Debug, Default)]
pub struct Residuals {
    groups: Vec<Vec<f32>>,
    all: Vec<f32>,
}

impl Residuals {
    /// Adds one principal's.
    pub fn add(&mut self, group: u32, residual: f32) {
        let group = group as usize;
        if self.groups.len() <= group {
            self.groups.resize(group + 1, Vec::new());
        }
        self.groups[group].push(residual);
        self.all.push(residual);
    }

    /// To be called once after all have been added.
    pub fn sort(&mut self) {
        for values in self.groups.iter_mut().chain([&mut self.all]) {
            values.sort_unstable_by(f32::total_cmp);
        }
    }

    /// What a principal's peers have in common, the principal itself left out; `usual` is the weekday's.
    pub fn common(&self, group: u32, own: Option<f32>, usual: f32) -> f32 {
        let everybody = mixed(&self.all, own, usual, WEEKDAY_PRIOR);
        match self.groups.get(group as usize) {
            Some(peers) => mixed(peers, own, everybody, PEERS_PRIOR),
            None => everybody,
        }
    }

    /// Everybody's median.
    pub fn everybody(&self) -> Option<f32> {
        (!self.all.is_empty()).then(|| median(&mut self.all.clone()))
    }
}

/// Median of the others, mixed with what is known from elsewhere.
fn mixed(sorted: &[f32], own: Option<f32>, prior: f32, weight: f32) -> f32 {
    let at = own.map(|own| sorted.partition_point(|value| *value < own));
    let count = sorted.len() - usize::from(at.is_some());
    if count == 0 {
        return prior;
    }
    let other = |index: usize| match at {
        Some(at) if index >= at => sorted[index + 1],
        _ => sorted[index],
    };
    let middle = f32::midpoint(other((count - 1) / 2), other(count / 2));
    let count = count as f32;
    (count * middle + weight * prior) / (count + weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_value_is_left_out() {
        let mut residuals = Residuals::default();
        for value in [0.0, 1.0, 2.0, 100.0] {
            residuals.add(0, value);
        }
        residuals.sort();
        assert_eq!(mixed(&residuals.all, Some(100.0), 1.0, 1.0), 1.0);
        assert_eq!(mixed(&residuals.all, Some(0.0), 2.0, 1.0), 2.0);
        assert_eq!(mixed(&[5.0], Some(5.0), 7.0, 1.0), 7.0);
    }

    #[test]
    fn a_shift_of_all_peers_is_common() {
        let mut residuals = Residuals::default();
        for _ in 0..30 {
            residuals.add(1, 1.1);
        }
        for _ in 0..300 {
            residuals.add(2, 0.0);
        }
        residuals.sort();
        assert!(residuals.common(1, Some(1.1), 0.0) > 0.9);
        assert!(residuals.common(2, Some(0.0), 0.0) < 0.1);
    }
}
