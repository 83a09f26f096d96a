//! The sequential test: a mixture of bets that a principal's amounts have shifted upwards, in Shiryaev–Roberts form.
//!
//! A bet on a shift of θ multiplies its stake by `exp(θz − θ²/2)`, whose mean is one while z is standard normal, which
//! it is when ranks are exchangeable. Each day one more unit is staked, so that the statistic grows by one a day on
//! average and its crossing of A takes A days on average at least, whenever the change comes.

use serde::{Deserialize, Serialize};

/// The shifts that are bet on, in standard deviations of a day.
const SHIFTS: [f32; 4] = [0.4, 0.8, 1.5, 2.5];

/// Logarithm of what each bet holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    log_stakes: [f32; SHIFTS.len()],
}

impl Default for Mixture {
    fn default() -> Self {
        Self {
            log_stakes: [f32::NEG_INFINITY; SHIFTS.len()],
        }
    }
}

impl Mixture {
    /// Takes in one day's normal score.
    pub fn update(&mut self, z: f32) {
        for (log_stake, shift) in self.log_stakes.iter_mut().zip(SHIFTS) {
            *log_stake = ln_1_plus_exp(*log_stake) + shift * z - shift * shift / 2.0;
        }
    }

    /// Natural logarithm of the mixture.
    pub fn log(&self) -> f32 {
        log_mean_exp(self.log_stakes)
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// `ln(1 + exp(x))`.
fn ln_1_plus_exp(x: f32) -> f32 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// Logarithm of the mean of what the logarithms stand for: a mean of e-values is an e-value, however they depend on
/// each other.
pub fn log_mean_exp<const N: usize>(logs: [f32; N]) -> f32 {
    let largest = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if largest == f32::NEG_INFINITY {
        return largest;
    }
    let sum: f32 = logs.iter().map(|log| (log - largest).exp()).sum();
    // Exact: N is small.
    largest + (sum / N as f32).ln()
}

/// The normal score of an upper-tail probability: `Φ⁻¹(1 − p)` (Acklam's approximation, relative error below 1.2e-9
/// before rounding).
pub fn normal_score(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    /// Where the tails begin.
    const LOW: f64 = 0.02425;
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        -horner(&C, q) / (horner(&D, q) * q + 1.0)
    };
    if p < LOW {
        tail(p)
    } else if p > 1.0 - LOW {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        -horner(&A, r) * q / (horner(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{mix, pool::Pool};

    #[test]
    fn scores_are_those_of_the_normal_distribution() {
        for (p, z) in [
            (0.5, 0.0),
            (0.158_655_254, 1.0),
            (0.001_349_898, 3.0),
            (0.977_249_868, -2.0),
        ] {
            assert!(
                (normal_score(p) - z).abs() < 1e-5,
                "{p}: {}",
                normal_score(p)
            );
        }
    }

    #[test]
    fn a_shift_doubles_the_stakes_again_and_again() {
        let mut mixture = Mixture::default();
        let days = (1..100)
            .find(|_| {
                mixture.update(1.5);
                mixture.log() > 10_000f32.ln()
            })
            .expect("it crosses");
        // 1.5²/2 a day, less the logarithm of four bets: (9.2 + 1.4) / 1.125.
        assert!((8..=11).contains(&days), "{days}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(12))]

        /// While days are exchangeable, A is crossed once in A days on average at most, whatever their distribution.
        #[test]
        fn false_alarms_are_as_rare_as_promised(seed: u64, tail in 0.2f64..3.0) {
            const ODDS: f32 = 500.0;
            const DAYS: u64 = 120;
            const STREAMS: u64 = 400;
            let unit = |number: u64| ((mix(seed ^ mix(number)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            // From nearly even to a heavy tail.
            let value = |number: u64| (unit(number).powf(-tail)).ln_1p() as f32;
            let mut pool = Pool::default();
            for day in 0..20 {
                pool.push(day, (0..400).map(|n| value(1 << 40 | u64::from(day) << 20 | n)).collect(), 0);
            }
            let mut alarms = 0;
            for stream in 0..STREAMS {
                let mut mixture = Mixture::default();
                for day in 0..DAYS {
                    let number = stream << 20 | day;
                    let p = pool.p_value(value(number), unit(1 << 50 | number));
                    mixture.update(normal_score(p).clamp(-3.6, 3.6) as f32);
                    if mixture.log() > ODDS.ln() {
                        alarms += 1;
                        mixture.reset();
                    }
                }
            }
            // 48,000 days: 96 on average at most.
            proptest::prop_assert!(alarms <= 96, "{alarms}");
        }
    }

    #[test]
    fn without_a_shift_it_stays_low() {
        let mut mixture = Mixture::default();
        for _ in 0..10_000 {
            mixture.update(0.0);
        }
        assert!(mixture.log() < 5.0, "{}", mixture.log());
    }
}
