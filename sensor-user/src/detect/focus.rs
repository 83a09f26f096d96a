//! Does somebody's work consist of the same statements as ever, or has one of them become more of it?
//!
//! Who gets more of the same work runs more of each statement. Who looks up one record after the other beside his work
//! runs more of one. What is kept is the share of the commonest statement, and what it used to be.

use serde::{Deserialize, Serialize};

/// Share of a day in what it used to be.
const RENEWAL: f32 = 0.02;
/// Statements of the usual mixture that the newest are mixed with: few say little.
const PRIOR: f32 = 20.0;
/// Shares are kept away from nothing and all by so much.
const EDGE: f32 = 0.02;
/// What is bet on: so many spreads more.
const SHIFT: f32 = 2.0;
/// Scores are cut here.
const MOST: f32 = 3.5;
/// Whose commonest statement is so much of all can't turn to it any more (logarithm of odds: some 85 %).
const ALONE: f32 = 1.7;
/// Nobody's mixture is steadier than this (logarithm of odds).
pub const LEAST_SPREAD: f32 = 0.06;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Focus {
    /// Statements, with old days fading.
    pub statements: f32,
    /// The commonest one's usual share (logarithm of odds).
    usual: f32,
}

impl Focus {
    /// Share of the commonest statement, which ran so often, and what it used to be.
    pub fn shares(&self, commonest: f32) -> (f32, f32) {
        let usual = 1.0 / (1.0 + (-self.usual).exp());
        let share = (commonest + PRIOR * usual) / (self.statements + PRIOR);
        (share, usual)
    }

    /// How much more than usual it is of all (logarithm of odds). `None` for who hardly ever runs another.
    pub fn shift(&self, commonest: f32) -> Option<f32> {
        (self.usual < ALONE).then(|| odds(self.shares(commonest).0) - self.usual)
    }

    /// A day is over, of so many before.
    pub fn close(&mut self, commonest: f32, days: u16) {
        if self.statements > 0.0 {
            let share = odds(commonest / self.statements);
            let renewal = (1.0 / (f32::from(days) + 1.0)).max(RENEWAL);
            self.usual += renewal * (share - self.usual);
        }
    }
}

fn odds(share: f32) -> f32 {
    let share = share.clamp(EDGE, 1.0 - EDGE);
    (share / (1.0 - share)).ln()
}

/// Logarithm of what a bet on a shift of the mixture has won; half of the stake is kept back. Its mean is one while
/// shifts are normal with this spread.
pub fn bet(shift: f32, spread: f32) -> f32 {
    let z = (shift / spread.max(LEAST_SPREAD)).min(MOST);
    f32::midpoint(1.0, (SHIFT * z - SHIFT * SHIFT / 2.0).exp()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds days of so many statements, the commonest and all.
    fn days(focus: &mut Focus, commonest: &mut f32, of: (f32, f32), count: u16, before: u16) {
        for day in 0..count {
            *commonest += of.0;
            focus.statements += of.1;
            focus.close(*commonest, before + day);
            *commonest *= 0.9;
            focus.statements *= 0.9;
        }
    }

    #[test]
    fn more_of_the_same_mixture_is_no_shift_and_more_of_one_statement_is() {
        let (mut focus, mut commonest) = (Focus::default(), 0.0);
        days(&mut focus, &mut commonest, (24.0, 40.0), 60, 0);
        assert!(
            focus
                .shift(commonest)
                .is_some_and(|shift| shift.abs() < 0.01)
        );
        let (mut more, mut of_all) = (focus, commonest);
        days(&mut more, &mut of_all, (36.0, 60.0), 10, 60);
        assert!(more.shift(of_all).is_some_and(|shift| shift.abs() < 0.02));
        days(&mut focus, &mut commonest, (44.0, 60.0), 10, 60);
        assert!(focus.shift(commonest).is_some_and(|shift| shift > 0.2));
    }

    #[test]
    fn what_it_used_to_be_follows_slowly() {
        let (mut focus, mut commonest) = (Focus::default(), 0.0);
        days(&mut focus, &mut commonest, (24.0, 40.0), 60, 0);
        days(&mut focus, &mut commonest, (32.0, 40.0), 200, 60);
        assert!(focus.shift(commonest).is_some_and(|shift| shift < 0.05));
    }

    #[test]
    fn few_statements_say_little_and_who_runs_but_one_nothing() {
        let (mut focus, mut commonest) = (Focus::default(), 0.0);
        days(&mut focus, &mut commonest, (0.6, 1.0), 60, 0);
        days(&mut focus, &mut commonest, (1.0, 1.0), 5, 60);
        assert!(focus.shift(commonest).is_some_and(|shift| shift < 0.3));
        let (mut one, mut all) = (Focus::default(), 0.0);
        days(&mut one, &mut all, (40.0, 40.0), 60, 0);
        assert_eq!(one.shift(all), None);
    }

    #[test]
    fn the_bets_mean_is_one_at_most_while_shifts_are_normal() {
        let scores = (-600..=600).map(|at| at as f32 / 100.0);
        let mean: f64 = scores
            .map(|z| {
                let density = (-f64::from(z * z) / 2.0).exp() / std::f64::consts::TAU.sqrt();
                f64::from(bet(z * 0.2, 0.2)).exp() * density * 0.01
            })
            .sum();
        assert!((0.9..1.001).contains(&mean), "{mean}");
        assert!(bet(0.0, 0.2) > -0.7 && bet(1.0, 0.2) > 4.0);
    }
}
