//! The drift lane: has somebody begun to read more than he used to, in comparison with what his peers do?
//!
//! One [`Series`] a principal and quantity, moved once an active day: logarithm of the amount, less what all peers
//! have in common that day, less the own level; whitened; ranked among everybody's; bet on.

use serde::{Deserialize, Serialize};

use super::{
    calibration::Calibration,
    eprocess::{Mixture, normal_score},
    pool::Pool,
    ring::{Ring, median, quantile},
};

/// What is counted a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Quantity {
    /// Distinct records.
    Records,
    /// Rows.
    Rows,
    /// Bytes sent.
    Bytes,
    /// Statements: the steadiest, for who looks up one record after the other.
    Statements,
}

impl Quantity {
    /// All, in the order of arrays.
    pub const ALL: [Self; 4] = [Self::Records, Self::Rows, Self::Bytes, Self::Statements];

    /// As a person reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Statements => "statements",
        }
    }

    /// Added before the logarithm, so that small days are not far apart.
    fn offset(self) -> f64 {
        match self {
            Self::Records | Self::Rows | Self::Statements => 5.0,
            Self::Bytes => 1000.0,
        }
    }

    /// The logarithm that all is done in.
    pub fn log(self, amount: f64) -> f32 {
        (amount + self.offset()).ln() as f32
    }

    /// Back again.
    pub fn amount(self, log: f32) -> f64 {
        (f64::from(log).exp() - self.offset()).max(0.0)
    }
}

/// Active days that the spread is taken from.
const SPREAD_DAYS: usize = 32;
/// Active days that the level is taken from.
const LEVEL_DAYS: usize = 56;
/// Days of others that the own spread and memory are mixed with.
const PRIOR_DAYS: f32 = 12.0;
/// Days of others that a level is mixed with: variance of a day over that between people.
const LEVEL_PRIOR: f32 = 2.0;
/// Residuals further apart than this (days) have forgotten each other.
const GAP: u32 = 5;
/// A level further than this from the base moves the base.
const REBASE: f32 = 1.5;
/// Share of a day in where residuals have been lately.
const LATELY: f32 = 0.06;
/// Residuals count up to so many standard deviations in the autocorrelation: the first days of a change are none.
const APART: f32 = 1.5;
/// Nobody is steadier than this (natural logarithm).
const LEAST_SPREAD: f32 = 0.12;
/// Normal scores are cut here: what is beyond is for other lanes, and a single day proves no drift.
const MOST: f64 = 3.6;

/// One quantity of one principal (or host, or team).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What amounts are kept in relation to, so that a byte holds them.
    base: f32,
    /// Amounts less what peers have in common, and less the base.
    adjusted: Ring<i8, LEVEL_DAYS>,
    innovations: Ring<i8, SPREAD_DAYS>,
    level: f32,
    residual: f32,
    /// Where the residuals have been lately: a shift that lasts is no autocorrelation.
    lately: f32,
    /// Sums for the autocorrelation.
    product: f32,
    square: f32,
    mixture: Mixture,
    /// Sum of scores since the change, if there is one: zero while there is none.
    climb: f32,
    /// Of the days since then.
    since: Since,
    /// Active days.
    days: u16,
}

/// What has come together since a change began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Since {
    /// First day (days since 1970 fit until 2149).
    pub day: u16,
    /// Active days.
    pub days: u16,
    /// Amount.
    pub observed: f32,
    /// What the own past and the peers' days let expect.
    pub expected: f32,
    /// What the middle one of the peers had on those days.
    pub peers: f32,
}

/// A day's amounts as people read them.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// What there was.
    pub observed: f64,
    /// What was to be expected.
    pub expected: f64,
    /// What the middle one of the peers had.
    pub peers: f64,
}

/// What a day means for everybody.
#[derive(Clone, Copy, Debug)]
pub struct Day<'a> {
    /// Which.
    pub day: u32,
    /// The principal's active day before.
    pub previous: u32,
    /// What the peers have in common that day.
    pub common: f32,
    /// The peers' level, once there are peers.
    pub peers_level: Option<f32>,
    /// Everybody's spread.
    pub spread: f32,
    /// Everybody's autocorrelation.
    pub memory: f32,
    /// What is usual.
    pub pool: &'a Pool,
}

/// What a principal's day adds to what is known of everybody.
#[derive(Clone, Copy, Debug)]
pub struct Contribution {
    /// Standardised innovation.
    pub score: f32,
    /// Own spread.
    pub spread: f32,
    /// For the autocorrelation: residual times the one before, and its square; zeros when there was none.
    pub product: f32,
    /// See `product`.
    pub square: f32,
}

impl Series {
    /// The level: logarithm of a usual day's amount.
    pub fn level(&self) -> f32 {
        self.level
    }

    /// Active days so far.
    pub fn days(&self) -> u16 {
        self.days
    }

    /// Natural logarithm of the test's statistic.
    pub fn log(&self) -> f32 {
        self.mixture.log()
    }

    /// Seconds from the first day of a change to the end of `day`.
    pub fn since_seconds(&self, day: u32) -> u64 {
        u64::from((day + 1).saturating_sub(u32::from(self.since.day))) * 86_400
    }

    /// Since when the amounts have been above what was expected.
    pub fn since(&self) -> &Since {
        &self.since
    }

    /// After an alert, or when somebody said "new normal": the test begins anew.
    pub fn restart(&mut self) {
        self.mixture.reset();
        self.climb = 0.0;
    }

    /// "New normal": the newest days are the level from now on.
    pub fn accept(&mut self) {
        let mut newest: Vec<f32> = self.adjusted.iter().collect();
        let mut newest = newest.split_off(newest.len().saturating_sub(10));
        self.adjusted = Ring::default();
        for value in &newest {
            self.adjusted.push(*value);
        }
        self.level = self.base + middle_mean(&mut newest);
        self.restart();
    }

    /// The level is this at most.
    pub fn hold_level(&mut self, most: f32) {
        self.level = self.level.min(most);
    }

    /// Takes in an active day: the logarithm of its amount less what peers have in common. `tie`, evenly spread over
    /// 0–1, breaks ties of ranks; `amounts` says what a level means that day.
    pub fn update(
        &mut self,
        adjusted: f32,
        day: &Day<'_>,
        calibration: &Calibration,
        tie: f64,
        amounts: impl FnOnce(f32) -> Amounts,
    ) -> Option<Contribution> {
        if self.days == 0 {
            self.level = day.peers_level.unwrap_or(adjusted);
            self.base = self.level;
        }
        let residual = adjusted - self.level;
        let contribution = (self.days >= calibration.own_days)
            .then(|| self.judge(residual, day, calibration, tie, amounts));
        self.residual = residual;
        if (self.level - self.base).abs() > REBASE {
            let by = self.level - self.base;
            self.adjusted.shift(-by);
            self.base += by;
        }
        self.adjusted.push(adjusted - self.base);
        self.days = self.days.saturating_add(1);
        self.relevel(day, calibration);
        contribution
    }

    fn judge(
        &mut self,
        residual: f32,
        day: &Day<'_>,
        calibration: &Calibration,
        tie: f64,
        amounts: impl FnOnce(f32) -> Amounts,
    ) -> Contribution {
        let connected = day.day.saturating_sub(day.previous) <= GAP;
        let memory = if connected {
            self.memory(day, calibration.memory_prior)
        } else {
            0.0
        };
        let innovation = residual - memory * self.residual;
        let spread = self.spread(day.spread, calibration);
        let score = innovation / spread;
        if day.pool.is_ready() {
            let p = day.pool.p_value(score, tie);
            let p = p.max(self.own_p(innovation, calibration.spread_lag, p));
            let z = normal_score(p).clamp(-MOST, MOST) as f32
                - calibration.doubt * self.doubt(calibration.lag);
            self.mixture.update(z);
            self.climb = (self.climb + z - 0.4).max(0.0);
            if self.climb == 0.0 {
                self.since = Since::default();
            } else {
                if self.since.days == 0 {
                    self.since.day = u16::try_from(day.day).unwrap_or(u16::MAX);
                }
                self.since.days = self.since.days.saturating_add(1);
                let amounts = amounts(self.level);
                self.since.observed += amounts.observed as f32;
                self.since.expected += amounts.expected as f32;
                self.since.peers += amounts.peers as f32;
            }
        }
        self.innovations.push(innovation);
        let (mut product, mut square) = (0.0, 0.0);
        self.lately += LATELY * (residual.clamp(-3.0 * spread, 3.0 * spread) - self.lately);
        if connected {
            let apart = |residual: f32| ((residual - self.lately) / spread).clamp(-APART, APART);
            product = apart(residual) * apart(self.residual);
            square = apart(self.residual).powi(2);
            // A memory of some sixty days.
            self.product = self.product * 0.984 + product;
            self.square = self.square * 0.984 + square;
        }
        Contribution {
            score,
            spread,
            product,
            square,
        }
    }

    /// Autocorrelation of the residuals from one active day to the next.
    fn memory(&self, day: &Day<'_>, prior: f32) -> f32 {
        ((self.product + prior * day.memory) / (self.square + prior)).clamp(0.0, 0.95)
    }

    /// Spread of the innovations, mixed with everybody's while there are few.
    fn spread(&self, common: f32, calibration: &Calibration) -> f32 {
        let mut own: Vec<f32> = self.older_innovations(calibration.spread_lag).collect();
        let count = own.len() as f32;
        let common = common.max(LEAST_SPREAD);
        if own.len() < calibration.spread_days {
            return common;
        }
        // The upper tail is what alarms come from: it must not be thinner than it is.
        let upper = quantile(&mut own, 0.9) / 1.2816;
        let middle = median(&mut own);
        for value in &mut own {
            *value = (*value - middle).abs();
        }
        let spread = (1.4826 * median(&mut own)).max(upper);
        let variance =
            (count * spread * spread + PRIOR_DAYS * common * common) / (count + PRIOR_DAYS);
        variance.sqrt().max(LEAST_SPREAD)
    }

    /// Innovations without the newest, which may be those of a change; while there are few, with most of them.
    fn older_innovations(&self, lag: usize) -> impl Iterator<Item = f32> + '_ {
        self.innovations.lagged(lag.min(self.innovations.len() / 3))
    }

    /// How far off the own level may be, in standard deviations of a day: what a level that is too low looks like is a
    /// drift. All of it counts while there are few days, a part later.
    fn doubt(&self, lag: usize) -> f32 {
        let used = self.adjusted.len().saturating_sub(lag).max(6) as f32;
        let share = if self.days < 40 { 1.0 } else { 0.3 };
        share * 1.1 / used.sqrt()
    }

    /// Rank among the own innovations, where they contradict everybody's `p`: whose tail is heavier than others' is
    /// ranked against himself. Zero where they do not.
    fn own_p(&self, innovation: f32, lag: usize, p: f64) -> f64 {
        let count = self.older_innovations(lag).count() as f64;
        let larger = self
            .older_innovations(lag)
            .filter(|known| *known >= innovation)
            .count() as f64;
        let likely = count * p;
        if larger < likely + 2.0 + 2.0 * likely.sqrt() {
            return 0.0;
        }
        larger / (count + 1.0)
    }

    /// The level follows the older of the known days; it rises no faster than it may.
    fn relevel(&mut self, day: &Day<'_>, calibration: &Calibration) {
        let known = self.adjusted.len();
        let lag = calibration
            .lag
            .min(known.saturating_sub(usize::from(calibration.own_days)));
        let mut older: Vec<f32> = self.adjusted.lagged(lag).collect();
        let count = older.len() as f32;
        let own = self.base + middle_mean(&mut older);
        let level = match day.peers_level {
            Some(peers) if self.days < 40 => {
                (count * own + LEVEL_PRIOR * peers) / (count + LEVEL_PRIOR)
            }
            _ => own,
        };
        self.level = if self.days > calibration.own_days {
            level.min(self.level + calibration.growth)
        } else {
            level
        };
    }
}

/// Mean of the middle three fifths: nearly as steady as the mean, nearly as robust as the median.
fn middle_mean(values: &mut [f32]) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f32::total_cmp);
    let cut = values.len() / 5;
    let middle = &values[cut..values.len() - cut];
    middle.iter().sum::<f32>() / middle.len() as f32
}
