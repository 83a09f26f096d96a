//! The whole desk: who is there, and all records of a day.

use rand::{Rng as _, seq::SliceRandom as _};

use super::{
    agent::{Agent, Weather, Worked},
    attack::Attack,
    calendar,
    program::Program,
    random::{Autoregression, Purpose, Random, stream},
    record::Day,
    scenario::{Plan, Scenario, Who},
    statements::Statements,
};

/// What sort of account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    Agent,
    Analyst,
    Service,
    Shared,
    Migration,
}

impl Class {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Analyst => "analyst",
            Self::Service => "service",
            Self::Shared => "shared account",
            Self::Migration => "migration",
        }
    }
}

/// A database account.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    pub class: Class,
    pub group: String,
    /// First day.
    pub from: u32,
    pub role_change: Option<u32>,
}

/// How a world is told.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    pub seed: u64,
    pub population: u64,
    pub days: u32,
    /// Ticket by ticket, instead of hour by hour.
    pub fine: bool,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    pub scenario: Scenario,
    pub accounts: Vec<Account>,
    /// Names of tables; the first is the sensitive one.
    pub tables: Vec<String>,
    pub attacks: Vec<Attack>,
    /// First days of three busy weeks.
    pub quarter_ends: Vec<u32>,
    telling: Telling,
    agents: Vec<Agent>,
    programs: Vec<Program>,
    storms: Vec<(Autoregression, Random)>,
    statements: Statements,
    worked: Vec<Worked>,
}

impl World {
    /// With as many attackers of each plan as the scenario says.
    pub fn new(scenario: &Scenario, telling: Telling, plans: &[Plan]) -> Self {
        let Telling {
            seed, population, ..
        } = telling;
        let mut random = stream(seed, population, Purpose::Population, 0);
        let storms = (0..u64::from(scenario.agents.teams))
            .map(|team| {
                let mut random = stream(seed, population, Purpose::Team, team);
                let storm = Autoregression::new(
                    scenario.agents.storm_ar,
                    scenario.agents.storm_sd,
                    &mut random,
                );
                (storm, random)
            })
            .collect();
        let mut world = Self {
            scenario: scenario.clone(),
            accounts: Vec::new(),
            tables: vec![
                scenario.table.name.clone(),
                "public.tickets".to_owned(),
                "public.orders".to_owned(),
            ],
            attacks: Vec::new(),
            quarter_ends: Vec::new(),
            telling,
            agents: Vec::new(),
            programs: Vec::new(),
            storms,
            statements: Statements::new(&scenario.statements, seed, population),
            worked: Vec::new(),
        };
        world.hire(&mut random);
        world.share();
        world.install();
        let later =
            |random: &mut Random| random.random_range(60.min(telling.days - 1)..telling.days);
        for _ in 0..scenario.events.quarter_ends {
            let day = later(&mut random);
            // A quarter's end begins on a Monday.
            world.quarter_ends.push(day - day % 7);
        }
        for _ in 0..scenario.events.migrations {
            let day = later(&mut random);
            let account = world.account("svc-migrate", Class::Migration, "services", day);
            world
                .programs
                .push(Program::migration((seed, population), account, day));
        }
        world.place(plans);
        world
    }

    fn account(&mut self, name: &str, class: Class, group: &str, from: u32) -> u32 {
        self.accounts.push(Account {
            name: name.to_owned(),
            class,
            group: group.to_owned(),
            from,
            role_change: None,
        });
        self.accounts.len() as u32 - 1
    }

    /// An agent with an account of his own.
    fn agent(&mut self, team: u32, employed: std::ops::Range<u32>) -> usize {
        let name = format!("agent{:05}", self.agents.len());
        let account = self.account(&name, Class::Agent, &team_name(team), employed.start);
        self.person(account, team, employed)
    }

    fn person(&mut self, account: u32, team: u32, employed: std::ops::Range<u32>) -> usize {
        let number = self.agents.len() as u32;
        let origin = (self.telling.seed, self.telling.population);
        let agent = Agent::new(&self.scenario, origin, number, account, team, employed);
        if self.accounts[account as usize].class == Class::Agent {
            self.accounts[account as usize].role_change = agent.role_change;
        }
        self.agents.push(agent);
        self.agents.len() - 1
    }

    /// Seats, with those who come and go.
    fn hire(&mut self, random: &mut Random) {
        let a_day = self.scenario.agents.hires_a_month / 30.0;
        let days = self.telling.days;
        for seat in 0..self.scenario.agents.count {
            let team = seat % self.scenario.agents.teams;
            let mut from = 0;
            while from < days {
                let stays = -(1.0 - random.random::<f64>()).ln() / a_day.max(1e-9);
                let until = from + (stays.min(f64::from(u16::MAX)) as u32).max(1);
                self.agent(team, from..until.min(days));
                from = until;
            }
        }
    }

    fn share(&mut self) {
        for shared in 0..self.scenario.shared.accounts {
            let team = shared % self.scenario.agents.teams;
            let name = format!("desk-shared{shared}");
            let account = self.account(&name, Class::Shared, &team_name(team), 0);
            for _ in 0..self.scenario.shared.users {
                self.person(account, team, 0..self.telling.days);
            }
        }
    }

    fn install(&mut self) {
        let origin = (self.telling.seed, self.telling.population);
        for analyst in 0..self.scenario.analysts.count {
            let name = format!("analyst{analyst:03}");
            let account = self.account(&name, Class::Analyst, "analysts", 0);
            self.programs.push(Program::analyst(origin, account));
        }
        for service in 0..self.scenario.services.count {
            let is_backup = service < self.scenario.services.backups;
            let name = if is_backup {
                format!("svc-backup{service}")
            } else {
                format!("svc-etl{service}")
            };
            let account = self.account(&name, Class::Service, "services", 0);
            self.programs.push(if is_backup {
                Program::backup(origin, account)
            } else {
                Program::etl(&self.scenario, origin, account)
            });
        }
    }

    /// Puts attackers into the population, each into a team of its own as long as there are teams.
    fn place(&mut self, plans: &[Plan]) {
        let Telling {
            seed,
            population,
            days,
            ..
        } = self.telling;
        let mut random = stream(seed, population, Purpose::Attack, 0);
        let mut teams: Vec<u32> = (0..self.scenario.agents.teams).collect();
        teams.shuffle(&mut random);
        let mut taken: Vec<usize> = Vec::new();
        let evaluation = self.scenario.evaluation.clone();
        let mut shared = 0;
        for _ in 0..evaluation.attackers_of_a_kind {
            for plan in plans {
                let number = self.attacks.len() as u32 + 1;
                let team = teams[(number as usize - 1) % teams.len()];
                let begin = evaluation.attacks_from
                    + random.random_range(0..evaluation.attacks_within.max(1));
                let people = match plan.who {
                    Who::Hire => {
                        let person = self.agent(team, begin..days);
                        vec![(self.agents[person].account, vec![person])]
                    }
                    Who::Shared => {
                        let accounts: Vec<u32> = (0..self.accounts.len() as u32)
                            .filter(|at| self.accounts[*at as usize].class == Class::Shared)
                            .collect();
                        let Some(account) = accounts.get(shared) else {
                            continue;
                        };
                        shared += 1;
                        let people = (0..self.agents.len())
                            .filter(|at| self.agents[*at].account == *account)
                            .collect();
                        vec![(*account, people)]
                    }
                    Who::Agent => {
                        let mut stay: Vec<usize> = (0..self.agents.len())
                            .filter(|at| {
                                let agent = &self.agents[*at];
                                agent.team == team
                                    && agent.employed.start == 0
                                    && agent.employed.end >= days
                                    && self.accounts[agent.account as usize].class == Class::Agent
                                    && !taken.contains(at)
                            })
                            .collect();
                        stay.shuffle(&mut random);
                        stay.truncate(plan.accounts as usize);
                        taken.extend(&stay);
                        stay.into_iter()
                            .map(|at| (self.agents[at].account, vec![at]))
                            .collect()
                    }
                };
                if people.is_empty() {
                    continue;
                }
                let stream = stream(seed, population, Purpose::Attack, u64::from(number));
                self.attacks
                    .push(Attack::new(number, plan, begin, people, stream));
            }
        }
    }

    pub fn days(&self) -> u32 {
        self.telling.days
    }

    /// Whether a day lies in three busy weeks, or in the five days after them.
    pub fn near_quarter_end(&self, day: u32) -> bool {
        let days = self.scenario.events.quarter_end_days + 5;
        self.quarter_ends
            .iter()
            .any(|begin| (*begin..begin + days).contains(&day))
    }

    /// All records of a day, in order of time.
    pub fn day(&mut self, day: u32, out: &mut Day) {
        out.clear();
        let scenario = &self.scenario;
        self.statements.day(day);
        let busy = self
            .quarter_ends
            .iter()
            .any(|begin| (*begin..begin + scenario.events.quarter_end_days).contains(&day));
        let factor = scenario.agents.weekday[calendar::weekday(day)]
            * if busy {
                scenario.events.quarter_end_factor
            } else {
                1.0
            };
        let storms: Vec<f64> = self
            .storms
            .iter_mut()
            .map(|(storm, random)| storm.next(random).exp())
            .collect();
        self.worked.clear();
        for agent in &mut self.agents {
            let weather = Weather {
                day,
                factor: factor * storms[agent.team as usize],
                fine: self.telling.fine,
            };
            self.worked
                .push(agent.day(scenario, &self.statements, weather, out));
        }
        for program in &mut self.programs {
            program.day(scenario, day, out);
        }
        for attack in &mut self.attacks {
            attack.day(
                scenario,
                &self.statements,
                (day, self.telling.fine),
                (&self.agents, &self.worked),
                out,
            );
        }
        out.sort();
    }
}

fn team_name(team: u32) -> String {
    format!("team{team:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Scenario {
        let mut scenario = Scenario::load(None).expect("valid").scaled(120);
        scenario.agents.teams = 16;
        scenario
    }

    fn telling(days: u32) -> Telling {
        Telling {
            seed: 7,
            population: 3,
            days,
            fine: false,
        }
    }

    fn story(world: &mut World) -> Vec<String> {
        let mut out = Day::default();
        let mut lines = Vec::new();
        for day in 0..world.days() {
            world.day(day, &mut out);
            for record in &out.records {
                lines.push(format!("{record:?} {:?}", out.keys(record)));
            }
        }
        lines
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let scenario = small();
        let tell = || story(&mut World::new(&scenario, telling(160), &scenario.attacks));
        assert_eq!(tell(), tell());
    }

    #[test]
    fn attackers_change_nobody_elses_days() {
        let scenario = small();
        let honest = |plans: &[Plan]| {
            let mut world = World::new(&scenario, telling(140), plans);
            let mut out = Day::default();
            let mut records = Vec::new();
            for day in 0..world.days() {
                world.day(day, &mut out);
                records.extend(
                    out.records
                        .iter()
                        .filter(|record| {
                            record.attack == 0 && world.accounts[record.account as usize].from < 100
                        })
                        .map(|record| (record.time, record.account, record.rows)),
                );
            }
            records
        };
        let without_hires: Vec<Plan> = scenario
            .attacks
            .iter()
            .filter(|plan| plan.who != Who::Hire)
            .cloned()
            .collect();
        assert_eq!(honest(&[]), honest(&without_hires));
    }

    #[test]
    fn each_attack_takes_what_it_says() {
        let scenario = Scenario::load(None).expect("valid");
        let mut world = World::new(&scenario, telling(200), &scenario.attacks);
        let mut out = Day::default();
        for day in 0..world.days() {
            world.day(day, &mut out);
        }
        assert_eq!(world.attacks.len(), scenario.attacks.len());
        for attack in &world.attacks {
            let days = u64::from(attack.ledger.days(u64::MAX));
            let total = attack.ledger.total();
            let expected = match attack.plan.name.as_str() {
                "A" => 12_000_000,
                "B" => 500 * 2 * 60 * 8,
                "C50" => 50 * days,
                "C200" => 200 * days,
                "F" => 300 * days,
                "G" => 200 * days,
                _ => continue,
            };
            assert_eq!(total, expected, "{}", attack.plan.name);
            assert!(days <= u64::from(attack.plan.days));
            let from = attack.ledger.first().map(calendar::day);
            assert!(from >= Some(attack.begin), "{}", attack.plan.name);
        }
        let by_name = |name: &str| {
            world
                .attacks
                .iter()
                .find(|attack| attack.plan.name == name)
                .expect("there")
        };
        assert_eq!(by_name("D3").accounts.len(), 5);
        assert_eq!(by_name("D3").hosts.len(), 3);
        assert_eq!(by_name("C200").hosts.len(), 0);
        // On top of the eight users' own.
        let shared = by_name("Eshared");
        let a_day = shared.ledger.total() / u64::from(shared.ledger.days(u64::MAX));
        assert!((400..1500).contains(&a_day), "{a_day}");
    }

    #[test]
    fn people_come_and_go_at_the_rate_asked_for() {
        let scenario = Scenario::load(None).expect("valid");
        let world = World::new(&scenario, telling(300), &[]);
        let hires = world
            .accounts
            .iter()
            .filter(|account| account.class == Class::Agent && account.from > 0)
            .count();
        // 600 · 2 % · 10 months.
        assert!((85..155).contains(&hires), "{hires}");
        assert_eq!(
            world
                .accounts
                .iter()
                .filter(|account| account.class == Class::Analyst)
                .count(),
            40
        );
    }
}
