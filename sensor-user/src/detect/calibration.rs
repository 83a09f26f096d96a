//! The numbers behind the lanes. None is meant to be set by hand; docs/detection.md says where each comes from.

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// A day's last records may come this long after its end (seconds).
    pub lateness: i64,
    /// A single record this far ahead of all others is a clock's fault (seconds).
    pub leap: i64,
    /// Drift alerts when the test's statistic passes this: about one false alarm in as many days of a principal, if
    /// the assumptions hold. What is less than [`Self::large`] times as much as expected is mostly work that has changed.
    pub drift_odds: f64,
    /// The same for what is at least so many times as much, which is rarely innocent.
    pub drift_odds_large: f64,
    /// See `drift_odds`.
    pub large: f64,
    /// The same for several members of a team.
    pub group_odds: f64,
    /// The same for a host or OS user behind several accounts, of which there are far fewer.
    pub place_odds: f64,
    /// Own active days before a principal's own past is a baseline.
    pub own_days: u16,
    /// The newest active days that are no baseline yet.
    pub lag: usize,
    /// Most that a baseline may rise on an active day (natural logarithm).
    pub growth: f32,
    /// The newest active days whose innovations are no measure of the own spread yet.
    pub spread_lag: usize,
    /// Own innovations before they say anything of the own spread.
    pub spread_days: usize,
    /// Autocorrelation of others weighs as much as so many own days.
    pub memory_prior: f32,
    /// How much a young level is doubted; zero where it is known.
    pub doubt: f32,
    /// Excess over what is expected below which a drift is not worth a look: rows or records a day, and in proportion.
    pub least_excess: f64,
    /// See `least_excess`.
    pub least_ratio: f64,
    /// Days after which somebody who is away is forgotten.
    pub idle_days: u32,
    /// Principals at most: a kilobyte each.
    pub max_principals: usize,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            spread_lag: 12,
            spread_days: 4,
            doubt: 1.0,
            memory_prior: 30.0,
            lateness: 2 * 3600,
            leap: 3 * 86_400,
            drift_odds: 3_000_000.0,
            drift_odds_large: 75_000.0,
            large: 2.2,
            group_odds: 4_000.0,
            place_odds: 700.0,
            own_days: 15,
            lag: 10,
            growth: 0.02,
            least_excess: 10.0,
            least_ratio: 1.6,
            idle_days: 120,
            max_principals: 200_000,
        }
    }
}
