//! `cargo xtask eval`.
mod agent;
mod attack;
mod calendar;
mod csv;
mod program;
mod random;
mod record;
mod scenario;
mod statements;
mod world;

use std::{fs::File, io::BufWriter, path::PathBuf};
use anyhow::Result;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(long)]
    export_events: Option<PathBuf>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn eval(arguments: &Arguments) -> Result<()> {
    let scenario = scenario::Scenario::load(None)?;
    let telling = world::Telling { seed: arguments.seed, population: 0, days: 300, fine: false };
    let mut world = world::World::new(&scenario, telling, &scenario.attacks);
    let mut day = record::Day::default();
    let path = arguments.export_events.clone().unwrap_or_default();
    let mut writer = csv::Writer::new(BufWriter::with_capacity(1<<20, File::create(path)?), true)?;
    for at in 0..world.days() {
        world.day(at, &mut day);
        for record in &day.records { writer.write(&world, &day, record)?; }
    }
    writer.finish()?;
    for attack in &world.attacks { println!("{} {:?} {}", attack.plan.name, attack.accounts, attack.begin); }
    Ok(())
}
