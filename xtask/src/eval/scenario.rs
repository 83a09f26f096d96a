//! Every parameter of the evaluation, as `scenario.toml` says and explains them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

/// The default file, comments included.
pub const DEFAULT: &str = include_str!("scenario.toml");

/// See `scenario.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub evaluation: Evaluation,
    pub table: Table,
    pub agents: Agents,
    pub statements: Statements,
    pub analysts: Analysts,
    pub services: Services,
    pub shared: Shared,
    pub events: Events,
    #[serde(rename = "attack")]
    pub attacks: Vec<Plan>,
    pub evaders: Evaders,
    #[serde(rename = "evader", default)]
    pub evaders_tried: Vec<Plan>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    pub days: u32,
    pub attacks_from: u32,
    pub attacks_within: u32,
    pub attackers_of_a_kind: u32,
    pub clean_populations: u32,
    pub clean_days: u32,
    pub clean_from: u32,
    pub alerts_per_day: u32,
    pub fine_clean_populations: u32,
    pub grace_days: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub database: String,
    pub name: String,
    pub rows: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agents {
    pub count: u32,
    pub teams: u32,
    pub tickets_median: f64,
    pub tickets_sigma: f64,
    pub tickets_dispersion: f64,
    pub rows_base: f64,
    pub rows_scale: f64,
    pub rows_shape: f64,
    pub rows_most: u32,
    pub revisits: f64,
    pub revisit_depth: f64,
    pub storm_ar: f64,
    pub storm_sd: f64,
    pub personal_ar: f64,
    pub personal_sd: f64,
    pub drift: f64,
    pub weekday: [f64; 7],
    pub weekend_rota: f64,
    pub absences_a_year: u32,
    pub absence_days: [u32; 2],
    pub hires_a_month: f64,
    pub role_changes_a_year: f64,
    pub role_change_factor: f64,
    pub hours: [f64; 24],
    pub overtime: f64,
    pub new_hosts_a_year: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statements {
    pub count: u32,
    pub exponent: f64,
    pub deployment_weekday: u32,
    pub deployment_share: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysts {
    pub count: u32,
    pub queries: [u32; 2],
    pub rows: [f64; 2],
    pub absent: f64,
    pub own_statements: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Services {
    pub count: u32,
    pub backups: u32,
    pub backup_minutes: u32,
    pub etl_rows: [f64; 2],
    pub etl_sigma: f64,
    pub slips_a_month: f64,
    pub slip_hours: [u32; 2],
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    pub accounts: u32,
    pub users: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    pub quarter_end_days: u32,
    pub quarter_end_factor: f64,
    pub quarter_ends: u32,
    pub migrations: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaders {
    pub calendar_days: u32,
}

/// What a thief does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub name: String,
    #[serde(default)]
    pub title: String,
    pub reads: Reads,
    #[serde(default)]
    pub rows: u64,
    #[serde(default)]
    pub rows_a_second: u64,
    #[serde(default)]
    pub seconds: u64,
    #[serde(default)]
    pub hours: u64,
    #[serde(default)]
    pub factor: f64,
    #[serde(default)]
    pub weekly: f64,
    #[serde(default)]
    pub when: When,
    /// Share of the usual day from which on a day is busy.
    #[serde(default = "busy")]
    pub busy: f64,
    #[serde(default)]
    pub from: From,
    /// Client hosts of the thief's; 0: see `from`.
    #[serde(default)]
    pub hosts: u32,
    #[serde(default)]
    pub who: Who,
    #[serde(default = "one")]
    pub accounts: u32,
    /// Whether he mixes statements as the desk does, instead of running one again and again.
    #[serde(default)]
    pub mixed: bool,
    /// Active days after which he stops.
    #[serde(default = "forever")]
    pub days: u32,
    #[serde(default)]
    pub target: Target,
}

fn busy() -> f64 {
    1.25
}

fn one() -> u32 {
    1
}

fn forever() -> u32 {
    u32::MAX
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    Whole,
    Paging,
    Steady,
    Times,
    Ramp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    #[default]
    Work,
    Busy,
    Night,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    #[default]
    Own,
    New,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    #[default]
    Agent,
    Hire,
    Shared,
}

/// What is wanted of detection. `most` is what nine of ten runs must keep.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    #[serde(default)]
    pub unit: Unit,
    pub median: Option<f64>,
    pub p90: Option<f64>,
    pub most: Option<f64>,
    /// Rows out by the alert, at most; for `whole` what flows in the time allowed comes on top.
    pub rows: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Seconds,
    #[default]
    Days,
    Nights,
}

impl Unit {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Days => "days",
            Self::Nights => "nights",
        }
    }
}

impl Scenario {
    /// The default, or a file's.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let (text, name) = match path {
            None => (DEFAULT.to_owned(), "the default scenario".to_owned()),
            Some(path) => {
                let name = path.display().to_string();
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read the scenario {name}"))?;
                (text, name)
            }
        };
        let scenario: Self = toml::from_str(&text).map_err(|error| {
            anyhow!("{name}: {error}\ndo: compare with `cargo xtask eval --print-scenario`")
        })?;
        scenario.check().with_context(|| name)?;
        Ok(scenario)
    }

    fn check(&self) -> Result<()> {
        let agents = &self.agents;
        let positive = [
            (
                "agents.tickets_dispersion must be above 0",
                agents.tickets_dispersion > 0.0,
            ),
            ("agents.rows_shape must be above 1", agents.rows_shape > 1.0),
            (
                "agents.teams must be 1 to agents.count",
                (1..=agents.count).contains(&agents.teams),
            ),
            (
                "agents.hours must have work in some hour",
                agents.hours.iter().sum::<f64>() > 0.0,
            ),
            (
                "agents.*_ar must be below 1",
                agents.personal_ar.abs() < 1.0 && agents.storm_ar.abs() < 1.0,
            ),
            (
                "statements.count must be above 0",
                self.statements.count > 0,
            ),
            (
                "services.backups must be at most services.count",
                self.services.backups <= self.services.count,
            ),
            (
                "evaluation.attackers_of_a_kind must be above 0",
                self.evaluation.attackers_of_a_kind > 0,
            ),
            (
                "evaluation.days must be above attacks_from + attacks_within",
                self.evaluation.days
                    > self.evaluation.attacks_from + self.evaluation.attacks_within,
            ),
        ];
        for (what, holds) in positive {
            if !holds {
                bail!("{what}");
            }
        }
        for plan in self.attacks.iter().chain(&self.evaders_tried) {
            let missing = match plan.reads {
                Reads::Whole => (plan.rows_a_second == 0).then_some("rows_a_second"),
                Reads::Paging if plan.seconds == 0 => Some("seconds"),
                Reads::Paging | Reads::Steady => (plan.rows == 0).then_some("rows"),
                Reads::Times => (plan.factor <= 0.0).then_some("factor"),
                Reads::Ramp => (plan.weekly <= 0.0).then_some("weekly"),
            };
            if let Some(missing) = missing {
                bail!("attack {}: `{missing}` must be above 0", plan.name);
            }
        }
        Ok(())
    }

    /// The same desk with about so many accounts.
    pub fn scaled(mut self, principals: u32) -> Self {
        let now = self.agents.count + self.analysts.count + self.services.count;
        let scale = |count: u32| {
            (u64::from(count) * u64::from(principals) / u64::from(now.max(1))).max(1) as u32
        };
        self.agents.count = scale(self.agents.count);
        self.agents.teams = scale(self.agents.teams).min(self.agents.count);
        self.analysts.count = scale(self.analysts.count);
        self.services.count = scale(self.services.count).max(self.services.backups);
        self.shared.accounts = scale(self.shared.accounts);
        self
    }

    /// Mean rows an agent's ticket has, by the distribution (without rounding).
    pub fn mean_rows(&self) -> f64 {
        let agents = &self.agents;
        let most = (f64::from(agents.rows_most) - agents.rows_base) / agents.rows_scale;
        let tail = 1.0 - agents.rows_shape;
        // E[min(X, m)] of a Pareto from zero is the integral of its tail.
        agents.rows_base + agents.rows_scale * ((1.0 + most).powf(tail) - 1.0) / tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_has_the_usual_day_of_the_description() {
        let scenario = Scenario::load(None).expect("valid");
        // Two more stand for thieves who mix statements.
        let described = scenario.attacks.iter().filter(|plan| !plan.mixed);
        assert_eq!(described.count(), 16);
        let agents = &scenario.agents;
        let tickets = agents.tickets_median * (agents.tickets_sigma.powi(2) / 2.0).exp();
        let distinct = tickets * scenario.mean_rows() * (1.0 - agents.revisits);
        // The description says a mean day of 79 records.
        assert!((distinct - 79.0).abs() < 3.0, "{distinct}");
    }

    #[test]
    fn what_is_unknown_or_missing_is_named() {
        let unknown = DEFAULT.replace("teams = 20", "teams = 20\ncolour = 1");
        let error = toml::from_str::<Scenario>(&unknown)
            .expect_err("unknown")
            .to_string();
        assert!(error.contains("colour"), "{error}");
        let mut scenario = Scenario::load(None).expect("valid");
        scenario.attacks[0].rows_a_second = 0;
        let error = scenario.check().expect_err("missing").to_string();
        assert!(error.contains("rows_a_second"), "{error}");
    }

    #[test]
    fn scaling_keeps_proportions() {
        let scenario = Scenario::load(None).expect("valid").scaled(6520);
        assert_eq!(scenario.agents.count, 6000);
        assert_eq!(scenario.agents.teams, 200);
        assert_eq!(scenario.services.count, 120);
    }
}
