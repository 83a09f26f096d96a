//! Which alerts are about a thief, and which about honest people.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    alert::Alert,
    attack::Attack,
    calendar::{self, DAY},
    world::{Account, Class, World},
};

/// How an attack ended for a detector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// In the unit of the target; infinite when missed.
    #[serde(serialize_with = "or_null")]
    pub delay: f64,
    pub lane: Option<String>,
    /// Rows out by the alert, or in all.
    pub rows: u64,
    /// Of all that the thief would take.
    pub share: f64,
}

fn or_null<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_some(value)
    } else {
        serializer.serialize_none()
    }
}

/// Judges an attack. `None` when the thief never came to read anything.
pub fn outcome<'a>(
    attack: &Attack,
    alerts: impl Iterator<Item = &'a Alert>,
    grace_days: u32,
) -> Option<Outcome> {
    let (first, last) = (attack.ledger.first()?, attack.ledger.last()?);
    let until = calendar::begin(calendar::day(last) + 1) + u64::from(grace_days) * DAY;
    let alert = alerts
        .filter(|alert| (first..=until).contains(&alert.time) && concerns(alert, attack))
        .min_by_key(|alert| alert.time);
    let total = attack.ledger.total();
    let rows = alert.map_or(total, |alert| attack.ledger.until(alert.time));
    Some(Outcome {
        delay: alert.map_or(f64::INFINITY, |alert| attack.delay(alert.time)),
        lane: alert.map(|alert| alert.lane.clone()),
        rows,
        share: rows as f64 / total.max(1) as f64,
    })
}

fn concerns(alert: &Alert, attack: &Attack) -> bool {
    alert
        .accounts
        .iter()
        .any(|account| attack.accounts.contains(account))
        || alert.host.is_some_and(|host| attack.hosts.contains(&host))
}

/// What honest people have that may explain a false alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Situation {
    #[serde(rename = "agent")]
    Agent,
    #[serde(rename = "agent, role changed in the last 60 days")]
    RoleChange,
    #[serde(rename = "agent, hired in the last 60 days")]
    Hire,
    #[serde(rename = "analyst")]
    Analyst,
    #[serde(rename = "service")]
    Service,
    #[serde(rename = "shared account")]
    Shared,
    #[serde(rename = "migration")]
    Migration,
    #[serde(rename = "several accounts")]
    Group,
}

impl Situation {
    pub const ALL: [Self; 8] = [
        Self::Agent,
        Self::RoleChange,
        Self::Hire,
        Self::Analyst,
        Self::Service,
        Self::Shared,
        Self::Migration,
        Self::Group,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::RoleChange => "agent, role changed in the last 60 days",
            Self::Hire => "agent, hired in the last 60 days",
            Self::Group => "several accounts",
            Self::Analyst => Class::Analyst.as_str(),
            Self::Service => Class::Service.as_str(),
            Self::Shared => Class::Shared.as_str(),
            Self::Migration => Class::Migration.as_str(),
        }
    }

    /// An account's on a day.
    pub fn of(account: &Account, day: u32) -> Self {
        const RECENT: u32 = 60;
        match account.class {
            Class::Agent if account.from > 0 && day < account.from + RECENT => Self::Hire,
            Class::Agent
                if account
                    .role_change
                    .is_some_and(|at| (at..at + RECENT).contains(&day)) =>
            {
                Self::RoleChange
            }
            Class::Agent => Self::Agent,
            Class::Analyst => Self::Analyst,
            Class::Service => Self::Service,
            Class::Shared => Self::Shared,
            Class::Migration => Self::Migration,
        }
    }
}

/// False alerts of a detector, counted.
#[derive(Clone, Debug, Default)]
pub struct FalseAlerts {
    /// By lane and situation: all, and those within the budget.
    pub counts: BTreeMap<(String, Situation), [u64; 2]>,
    /// Of them in three busy weeks of a quarter's end or the five days after.
    pub near_quarter_end: u64,
    /// In the two days from a deployment on.
    pub near_deployment: u64,
}

impl FalseAlerts {
    /// Counts one that no thief explains.
    pub fn add(&mut self, world: &World, alert: &Alert) {
        let day = calendar::day(alert.time.saturating_sub(1));
        let situation = match alert.accounts.as_slice() {
            _ if alert.group => Situation::Group,
            [account, ..] => Situation::of(&world.accounts[*account as usize], day),
            [] => Situation::Group,
        };
        let counts = self
            .counts
            .entry((alert.lane.clone(), situation))
            .or_default();
        counts[0] += 1;
        counts[1] += u64::from(alert.budgeted);
        self.near_quarter_end += u64::from(world.near_quarter_end(day));
        let since = (day + 7 - world.scenario.statements.deployment_weekday) % 7;
        self.near_deployment += u64::from(since < 2);
    }

    pub fn merge(&mut self, other: &Self) {
        for (key, counts) in &other.counts {
            let sum = self.counts.entry(key.clone()).or_default();
            sum[0] += counts[0];
            sum[1] += counts[1];
        }
        self.near_quarter_end += other.near_quarter_end;
        self.near_deployment += other.near_deployment;
    }

    /// How many, all or within the budget, of what a condition holds for.
    pub fn count(&self, budgeted: bool, which: impl Fn(&str, Situation) -> bool) -> u64 {
        self.counts
            .iter()
            .filter(|((lane, situation), _)| which(lane, *situation))
            .map(|(_, counts)| counts[usize::from(budgeted)])
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{record::Day, scenario::Scenario, world::Telling};

    fn alert(time: u64, account: u32) -> Alert {
        Alert {
            time,
            lane: "drift".to_owned(),
            accounts: vec![account],
            host: None,
            group: false,
            budgeted: true,
            odds: 1e6,
        }
    }

    fn attacked() -> World {
        let scenario = Scenario::load(None).expect("valid").scaled(200);
        let telling = Telling {
            seed: 1,
            population: 0,
            days: 200,
            fine: false,
        };
        let plans: Vec<_> = scenario
            .attacks
            .iter()
            .filter(|plan| ["C200", "D3"].contains(&plan.name.as_str()))
            .cloned()
            .collect();
        let mut world = World::new(&scenario, telling, &plans);
        let mut day = Day::default();
        for at in 0..world.days() {
            world.day(at, &mut day);
        }
        world
    }

    #[test]
    fn the_first_alert_about_the_thief_while_he_steals_counts() {
        let world = attacked();
        let attack = &world.attacks[0];
        let first = attack.ledger.first().expect("a theft");
        let account = attack.accounts[0];
        let third = {
            let mut day = calendar::day(first);
            while attack.ledger.days(calendar::begin(day)) < 3 {
                day += 1;
            }
            calendar::begin(day)
        };
        let alerts = [
            alert(first - DAY, account),
            alert(first + DAY, account + 1),
            alert(third + DAY * 9, account),
            alert(third, account),
        ];
        let outcome = outcome(attack, alerts.iter(), 3).expect("he stole");
        assert_eq!(outcome.delay, 3.0);
        assert_eq!(outcome.rows, 600);
        assert!((outcome.share - 600.0 / 8000.0).abs() < 1e-9);
        let missed = super::outcome(attack, alerts[..2].iter(), 3).expect("he stole");
        assert!(missed.delay.is_infinite());
        assert_eq!(missed.rows, 8000);
        let late = [alert(
            attack.ledger.last().expect("a theft") + 6 * DAY,
            account,
        )];
        assert!(
            super::outcome(attack, late.iter(), 3).is_some_and(|outcome| outcome.lane.is_none())
        );
    }

    #[test]
    fn an_alert_about_the_thiefs_host_or_one_of_his_accounts_counts() {
        let world = attacked();
        let attack = &world.attacks[1];
        let time = attack.ledger.first().expect("a theft") + DAY;
        let host = Alert {
            accounts: vec![],
            host: Some(attack.hosts[2]),
            group: true,
            ..alert(time, 0)
        };
        assert!(outcome(attack, [host].iter(), 3).is_some_and(|outcome| outcome.lane.is_some()));
        let one = alert(time, attack.accounts[4]);
        assert!(outcome(attack, [one].iter(), 3).is_some_and(|outcome| outcome.lane.is_some()));
    }

    #[test]
    fn situations_are_told_apart() {
        let world = attacked();
        let mut account = world.accounts[0].clone();
        account.role_change = Some(100);
        assert_eq!(Situation::of(&account, 99), Situation::Agent);
        assert_eq!(Situation::of(&account, 159), Situation::RoleChange);
        account.from = 130;
        assert_eq!(Situation::of(&account, 140), Situation::Hire);
        let mut counted = FalseAlerts::default();
        counted.add(&world, &alert(calendar::begin(70), 0));
        let mut withheld = alert(calendar::begin(70), 0);
        withheld.budgeted = false;
        counted.add(&world, &withheld);
        assert_eq!(counted.count(false, |_, _| true), 2);
        assert_eq!(counted.count(true, |lane, _| lane == "drift"), 1);
    }
}
