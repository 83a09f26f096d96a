//! Random numbers: a stream of their own for each person and purpose, so that one more attacker changes nobody else's days.

use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Gamma, Poisson, StandardNormal};

/// A generator whose output is the same on every machine.
pub type Random = ChaCha8Rng;

/// The stream of a seed, a population and something in it.
pub fn stream(seed: u64, population: u64, purpose: Purpose, number: u64) -> Random {
    let seed = mix(mix(mix(seed) ^ population) ^ purpose as u64);
    Random::seed_from_u64(mix(seed ^ number))
}

/// What a stream is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Who is there, and what changes when.
    Population = 1,
    /// A person's days.
    Person,
    /// A team's storms.
    Team,
    /// An account of a program.
    Service,
    /// An attack.
    Attack,
    /// What happens to the records on their way.
    Disturbance,
    /// Resampling.
    Bootstrap,
}

/// A bijection of 64 bits that leaves no pattern (splitmix64's).
pub fn mix(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Normal with mean zero.
pub fn normal(random: &mut Random, deviation: f64) -> f64 {
    let standard: f64 = StandardNormal.sample(random);
    standard * deviation
}

/// Lognormal by its median.
pub fn lognormal(random: &mut Random, median: f64, sigma: f64) -> f64 {
    median * normal(random, sigma).exp()
}

/// Evenly spread over magnitudes.
pub fn log_uniform(random: &mut Random, [low, high]: [f64; 2]) -> f64 {
    (low.ln() + random.random::<f64>() * (high / low).ln()).exp()
}

/// Whole numbers from `low` to `high`, both included.
pub fn between(random: &mut Random, [low, high]: [u32; 2]) -> u32 {
    random.random_range(low..=high.max(low))
}

/// Poisson; zero for a mean that is none.
pub fn poisson(random: &mut Random, mean: f64) -> u64 {
    Poisson::new(mean).map_or(0, |poisson| poisson.sample(random) as u64)
}

/// Negative binomial with variance mean + mean²/dispersion.
pub fn negative_binomial(random: &mut Random, mean: f64, dispersion: f64) -> u64 {
    let Ok(gamma) = Gamma::new(dispersion, mean / dispersion) else {
        return 0;
    };
    let rate = gamma.sample(random);
    poisson(random, rate)
}

/// Pareto from zero (Lomax), mean 1/(shape − 1).
pub fn pareto(random: &mut Random, shape: f64) -> f64 {
    (1.0 - random.random::<f64>()).powf(-1.0 / shape) - 1.0
}

/// How many whole trials until the first success, by the mean.
pub fn geometric(random: &mut Random, mean: f64) -> u64 {
    (-(1.0 - random.random::<f64>()).ln() * mean) as u64
}

/// An autoregressive course of the first order with a given stationary spread.
#[derive(Clone, Copy, Debug)]
pub struct Autoregression {
    coefficient: f64,
    deviation: f64,
    value: f64,
}

impl Autoregression {
    /// Begins in its stationary state.
    pub fn new(coefficient: f64, deviation: f64, random: &mut Random) -> Self {
        Self {
            coefficient,
            deviation,
            value: normal(random, deviation),
        }
    }

    /// The next day's value.
    pub fn next(&mut self, random: &mut Random) -> f64 {
        let innovation = self.deviation * (1.0 - self.coefficient.powi(2)).sqrt();
        self.value = self.coefficient * self.value + normal(random, innovation);
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> Random {
        stream(1, 2, Purpose::Person, 3)
    }

    fn moments(values: impl Iterator<Item = f64>) -> (f64, f64) {
        let values: Vec<f64> = values.collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / count;
        (mean, variance)
    }

    fn close(value: f64, expected: f64, share: f64) {
        assert!(
            (value - expected).abs() <= expected.abs() * share,
            "{value} is not {expected}"
        );
    }

    #[test]
    fn streams_repeat_and_differ() {
        let first = |mut random: Random| random.random::<u64>();
        assert_eq!(first(random()), first(random()));
        assert_ne!(first(random()), first(stream(1, 2, Purpose::Person, 4)));
        assert_ne!(first(random()), first(stream(1, 3, Purpose::Person, 3)));
        assert_ne!(first(random()), first(stream(1, 2, Purpose::Team, 3)));
    }

    #[test]
    fn negative_binomial_has_the_moments_asked_for() {
        let mut random = random();
        let (mean, variance) =
            moments((0..100_000).map(|_| negative_binomial(&mut random, 40.0, 8.0) as f64));
        close(mean, 40.0, 0.01);
        close(variance, 40.0 + 1600.0 / 8.0, 0.03);
    }

    #[test]
    fn lognormal_has_the_median_and_sigma_asked_for() {
        let mut random = random();
        let (mean, variance) =
            moments((0..100_000).map(|_| lognormal(&mut random, 40.0, 0.4).ln()));
        close(mean, 40.0f64.ln(), 0.005);
        close(variance, 0.16, 0.02);
    }

    #[test]
    fn pareto_has_its_quantiles() {
        let mut random = random();
        let mut values: Vec<f64> = (0..100_000).map(|_| pareto(&mut random, 1.7)).collect();
        values.sort_by(f64::total_cmp);
        close(values[50_000], 2.0f64.powf(1.0 / 1.7) - 1.0, 0.02);
        close(values[99_000], 100.0f64.powf(1.0 / 1.7) - 1.0, 0.05);
    }

    #[test]
    fn autoregression_has_its_spread_and_memory() {
        let mut random = random();
        let mut course = Autoregression::new(0.8, 0.12, &mut random);
        let values: Vec<f64> = (0..200_000).map(|_| course.next(&mut random)).collect();
        let (_, variance) = moments(values.iter().copied());
        close(variance.sqrt(), 0.12, 0.03);
        let (covariance, _) = moments(values.windows(2).map(|pair| pair[0] * pair[1]));
        close(covariance / variance, 0.8, 0.03);
    }

    #[test]
    fn the_rest_has_its_means() {
        let mut random = random();
        let (mean, _) = moments((0..100_000).map(|_| geometric(&mut random, 400.0) as f64));
        close(mean, 399.5, 0.02);
        let (mean, _) = moments((0..100_000).map(|_| log_uniform(&mut random, [100.0, 1e5]).ln()));
        close(mean, (100.0f64 * 1e5).ln() / 2.0, 0.01);
    }
}
