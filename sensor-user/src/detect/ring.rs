//! The last few values of a series, two bytes each.

use serde::{Deserialize, Serialize};

/// Steps of one.
const STEPS: f32 = 1000.0;

/// At most `capacity` values between −32 and 32, to a thousandth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    values: Vec<i16>,
    next: u8,
}

impl Ring {
    /// Adds a value; the oldest makes place when there are `capacity` (at most 255).
    pub fn push(&mut self, value: f32, capacity: u8) {
        // Saturates, and a NaN becomes zero: both as wanted.
        let value = (value * STEPS) as i16;
        if self.values.len() < usize::from(capacity) {
            if self.values.is_empty() {
                self.values.reserve_exact(usize::from(capacity));
            }
            self.values.push(value);
        } else {
            self.values[usize::from(self.next)] = value;
            self.next = (self.next + 1) % capacity;
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// None yet?
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// From the oldest to the newest, without the newest `lag`.
    pub fn lagged(&self, lag: usize) -> impl Iterator<Item = f32> + '_ {
        let (newer, older) = self.values.split_at(usize::from(self.next));
        older
            .iter()
            .chain(newer)
            .take(self.values.len().saturating_sub(lag))
            .map(|value| f32::from(*value) / STEPS)
    }

    /// Bytes beside the structure itself.
    pub fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<i16>()
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = f32> + '_ {
        self.lagged(0)
    }
}

/// The value below which lies a share `at` (0–1) of the values; reorders them. Zero when there are none.
pub fn quantile(values: &mut [f32], at: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    // Fits: a share of a length.
    let index = ((values.len() - 1) as f64 * at).round() as usize;
    *values.select_nth_unstable_by(index, f32::total_cmp).1
}

/// The middle value; reorders them. Zero when there are none.
pub fn median(values: &mut [f32]) -> f32 {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_out_and_the_oldest_go() {
        let mut ring = Ring::default();
        for value in 0..10u8 {
            ring.push(f32::from(value), 4);
        }
        assert_eq!(ring.iter().collect::<Vec<_>>(), [6.0, 7.0, 8.0, 9.0]);
        assert_eq!(ring.lagged(3).collect::<Vec<_>>(), [6.0]);
        assert_eq!(ring.lagged(9).count(), 0);
    }

    #[test]
    fn quantiles() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&mut [4.0, 1.0, 2.0, 3.0, 5.0], 0.9), 5.0);
        assert_eq!(median(&mut []), 0.0);
    }
}
