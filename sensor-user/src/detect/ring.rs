//! The last few values of a series in little space.

use serde::{Deserialize, Serialize};

/// How a value is kept.
pub trait Cell: Copy + Default {
    /// From a value, to the nearest step below; what does not fit saturates.
    fn keep(value: f32) -> Self;
    /// Back again.
    fn value(self) -> f32;
}

/// Thousandths, between −32 and 32.
impl Cell for i16 {
    fn keep(value: f32) -> Self {
        (value * 1000.0).round() as Self
    }
    fn value(self) -> f32 {
        f32::from(self) / 1000.0
    }
}

/// Thirty-seconds, between −4 and 4.
impl Cell for i8 {
    fn keep(value: f32) -> Self {
        (value * 32.0).round() as Self
    }
    fn value(self) -> f32 {
        f32::from(self) / 32.0
    }
}

/// At most `N` values (below 256); the oldest makes place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    from = "Vec<T>",
    into = "Vec<T>",
    bound(
        serialize = "T: Cell + Serialize",
        deserialize = "T: Cell + Deserialize<'de>"
    )
)]
pub struct Ring<T: Cell, const N: usize> {
    values: [T; N],
    length: u8,
    next: u8,
}

impl<T: Cell, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self {
            values: [T::default(); N],
            length: 0,
            next: 0,
        }
    }
}

impl<T: Cell, const N: usize> Ring<T, N> {
    /// Adds a value.
    pub fn push(&mut self, value: f32) {
        self.push_kept(T::keep(value));
    }

    fn push_kept(&mut self, value: T) {
        self.values[usize::from(self.next)] = value;
        // Fits: N is below 256.
        self.next = ((usize::from(self.next) + 1) % N) as u8;
        self.length = self.length.saturating_add(1).min(N as u8);
    }

    /// Adds to each value.
    pub fn shift(&mut self, by: f32) {
        for value in &mut self.values {
            *value = T::keep(value.value() + by);
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// None yet?
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn kept(&self) -> impl Iterator<Item = T> + '_ {
        let first = usize::from(self.next) + N - self.len();
        (0..self.len()).map(move |at| self.values[(first + at) % N])
    }

    /// From the oldest to the newest, without the newest `lag`.
    pub fn lagged(&self, lag: usize) -> impl Iterator<Item = f32> + '_ {
        self.kept()
            .take(self.len().saturating_sub(lag))
            .map(Cell::value)
    }

    /// All, from the oldest to the newest.
    pub fn iter(&self) -> impl Iterator<Item = f32> + '_ {
        self.lagged(0)
    }
}

impl<T: Cell, const N: usize> From<Vec<T>> for Ring<T, N> {
    fn from(values: Vec<T>) -> Self {
        let mut ring = Self::default();
        for value in values {
            ring.push_kept(value);
        }
        ring
    }
}

impl<T: Cell, const N: usize> From<Ring<T, N>> for Vec<T> {
    fn from(ring: Ring<T, N>) -> Self {
        ring.kept().collect()
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
        let mut ring = Ring::<i16, 4>::default();
        for value in 0..10u8 {
            ring.push(f32::from(value));
        }
        assert_eq!(ring.iter().collect::<Vec<_>>(), [6.0, 7.0, 8.0, 9.0]);
        assert_eq!(ring.lagged(3).collect::<Vec<_>>(), [6.0]);
        assert_eq!(ring.lagged(9).count(), 0);
    }

    #[test]
    fn it_is_read_back_as_it_was() {
        let mut ring = Ring::<i8, 5>::default();
        for value in 0..7u8 {
            ring.push(f32::from(value) / 4.0);
            let bytes = postcard::to_allocvec(&ring).expect("serialises");
            let back: Ring<i8, 5> = postcard::from_bytes(&bytes).expect("reads back");
            assert!(back.iter().eq(ring.iter()));
        }
    }

    #[test]
    fn what_does_not_fit_saturates() {
        let mut ring = Ring::<i8, 2>::default();
        ring.push(100.0);
        ring.push(f32::NAN);
        assert_eq!(ring.iter().collect::<Vec<_>>(), [127.0 / 32.0, 0.0]);
    }

    #[test]
    fn quantiles() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&mut [4.0, 1.0, 2.0, 3.0, 5.0], 0.9), 5.0);
        assert_eq!(median(&mut []), 0.0);
    }
}
