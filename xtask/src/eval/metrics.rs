//! Quantiles with misses, and how sure rates and medians are. Pure.

use rand::Rng as _;

use super::random::{Purpose, stream};

/// The value that a share of all stay at or below; misses are infinite. `None` without values.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

/// 95 % interval of a quantile, by resampling.
pub fn quantile_interval(values: &[f64], share: f64, seed: u64) -> Option<[f64; 2]> {
    const RESAMPLES: usize = 1000;
    let mut random = stream(seed, 0, Purpose::Bootstrap, values.len() as u64);
    let mut found: Vec<f64> = Vec::with_capacity(RESAMPLES);
    let mut sample = vec![0.0; values.len()];
    for _ in 0..RESAMPLES {
        for value in &mut sample {
            *value = values[random.random_range(0..values.len().max(1))];
        }
        found.push(quantile(&sample, share)?);
    }
    Some([quantile(&found, 0.025)?, quantile(&found, 0.975)?])
}

/// A rate of rare events.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Rate {
    pub count: u64,
    /// Principal-days.
    pub days: f64,
    /// In 1,000 principal-days.
    pub rate: f64,
    /// 95 % interval.
    pub low: f64,
    pub high: f64,
}

impl Rate {
    /// With the interval of a Poisson count (Byar's approximation, within a percent of the exact one).
    pub fn new(count: u64, days: f64) -> Self {
        let thousands = (days / 1000.0).max(f64::MIN_POSITIVE);
        let n = count as f64;
        let bound = |n: f64, z: f64| {
            if n <= 0.0 {
                0.0
            } else {
                n * (1.0 - 1.0 / (9.0 * n) + z / (3.0 * n.sqrt())).powi(3)
            }
        };
        Self {
            count,
            days,
            rate: n / thousands,
            low: bound(n, -1.96) / thousands,
            high: bound(n + 1.0, 1.96) / thousands,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_count_misses_as_never() {
        let values = [3.0, 1.0, f64::INFINITY, 2.0, 5.0];
        assert_eq!(quantile(&values, 0.5), Some(3.0));
        assert_eq!(quantile(&values, 0.8), Some(5.0));
        assert_eq!(quantile(&values, 0.9), Some(f64::INFINITY));
        assert_eq!(quantile(&[], 0.5), None);
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(quantile(&ten, 0.5), Some(5.0));
        assert_eq!(quantile(&ten, 0.9), Some(9.0));
    }

    #[test]
    fn rates_have_the_intervals_of_poisson_counts() {
        // Exact: 10 events have 4.80 to 18.39, none at most 3.69.
        let rate = Rate::new(10, 1000.0);
        assert!((rate.rate - 10.0).abs() < 1e-9);
        assert!((rate.low - 4.80).abs() < 0.05, "{rate:?}");
        assert!((rate.high - 18.39).abs() < 0.05, "{rate:?}");
        let none = Rate::new(0, 2000.0);
        assert_eq!((none.rate, none.low), (0.0, 0.0));
        assert!((none.high - 3.69 / 2.0).abs() < 0.05, "{none:?}");
    }

    #[test]
    fn intervals_hold_the_median_and_repeat() {
        let values: Vec<f64> = (0..200).map(f64::from).collect();
        let [low, high] = quantile_interval(&values, 0.5, 1).expect("values");
        assert!(low < 99.0 && high > 99.0 && high - low < 40.0);
        assert_eq!(quantile_interval(&values, 0.5, 1), Some([low, high]));
        assert_eq!(quantile_interval(&[], 0.5, 1), None);
    }
}
