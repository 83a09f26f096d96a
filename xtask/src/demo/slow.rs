//! `--insider slow`: weeks go by in a minute. The past is imported; the days after it are real statements on the real
//! server, seen by the real sensor, whose lanes take a few seconds for a day.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{
    AGENTS, Size, data,
    desk::{self, HIRE, HOURS, LookUp},
    past,
    screen::Screen,
    sensor::{Alert, Sensor},
    truth,
};
use crate::{
    command,
    command::command,
    postgresql::{Address, Server},
    progress::{Progress, thousands},
    signal, workspace,
};

/// Seconds that a live day lasts.
const A_DAY: f64 = 5.0;
/// Live days after which it is a failure that nobody was told of.
const PATIENCE: u32 = 14;
/// Days that the live ones are behind today: no alert is of tomorrow.
const BEHIND: u64 = 20;

const LOOK_UP: &str = "SELECT id, name, email, phone FROM customers WHERE id = $1";

/// Plays it. An error unless both thieves were told of, by the lane that is for them, and nobody else was.
pub fn show(size: Size, binary: &Path, server: &Server, progress: &Progress) -> Result<()> {
    progress.quiet(
        &format!("database support: {} customers", thousands(size.customers)),
        || data::load(server, size).map(|()| String::new()),
    )?;
    truth::reset(server)?;
    let address = server.address();
    let clock = Clock::start()?;
    let configuration = configure(&address, size, clock)?;
    progress.quiet("replayed: the past, into the sensor's history", || {
        let folder = workspace::demo();
        let events = past::import(binary, &folder, &configuration, clock.day, size.customers)?;
        Ok(format!(
            "{} sums of an hour, {} days of {AGENTS} agents, made up",
            thousands(events as u64),
            past::DAYS
        ))
    })?;
    let screen = Screen::default();
    let mut sensor = None;
    progress.loud("live: the sensor, with that history", || {
        sensor = Some(Sensor::start(binary, &configuration, &screen, false)?);
        Ok("watches".to_owned())
    })?;
    let sensor = sensor.ok_or_else(|| anyhow!("no sensor"))?;
    let played = play(&address, size, clock, &sensor, &screen)?;
    let alerts = sensor.alerts();
    let otlp = sensor.otlp.clone();
    let status = sensor.stop()?;
    if !status.success() {
        bail!("the sensor ended with {status} instead of success");
    }
    let (table, agree) = truth::compare(&truth::server(server)?, &truth::sensor(&otlp)?);
    if !agree {
        bail!("the sensor's numbers differ from the server's (✗):\n{table}");
    }
    println!(
        "\nWhat the history has of it (sensor alerts list, sensor alerts explain)\n\n{}",
        ask(
            binary,
            &configuration,
            &["alerts", "list", "--since", "40d"]
        )?
    );
    if let Some(id) = alerts.first().and_then(|alert| id(&alert.text)) {
        println!(
            "{}",
            ask(binary, &configuration, &["alerts", "explain", &id])?
        );
    }
    verdict(&played, &alerts)
}

/// Who was told of, by which lane, after how many thefts.
fn verdict(played: &Played, alerts: &[Alert]) -> Result<()> {
    let thieves = desk::thieves();
    for alert in alerts {
        if !thieves.iter().any(|thief| about(&alert.text, thief)) {
            bail!(
                "an alert about somebody who did nothing wrong:\n{}",
                alert.text
            );
        }
    }
    for (thief, lane) in thieves.iter().zip(["drift", "coverage"]) {
        let told = played
            .told
            .iter()
            .find(|told| told.lane == lane && told.thief == *thief);
        let Some(told) = told else {
            bail!(
                "the {lane} lane told nobody of {thief} in {} days",
                played.days
            );
        };
        println!(
            "✓ {lane} lane: {thief} after {} days of theft and {} stolen rows of {} a day",
            told.days_of_theft,
            thousands(told.stolen),
            desk::STOLEN
        );
    }
    println!(
        "✓ nobody else by an alert of his own, in {} live days of {HIRE} agents",
        played.days
    );
    println!("✓ every number of the live days agrees with the server's own");
    Ok(())
}

/// Whether an alert is about somebody: alone, or first among several.
fn about(text: &str, user: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.contains(&format!(": {user} ")) || first.contains(&format!("The accounts: {user}"))
}

fn id(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.trim().strip_prefix("id "))
        .map(|id| id.trim().to_owned())
}

fn ask(binary: &Path, configuration: &Path, arguments: &[&str]) -> Result<String> {
    command::output(
        command(binary)
            .args(arguments)
            .arg("--config")
            .arg(configuration),
    )
}

/// From a moment of today on, a few seconds stand for a day of some weeks ago.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Seconds since 1970: when fast motion begins.
    begins: u64,
    /// The day (since 1970) at whose begin it begins.
    day: u32,
}

impl Clock {
    fn start() -> Result<Self> {
        let begins = now()?.as_secs();
        let day = u32::try_from(begins / 86_400 - BEHIND).context("the clock is far off")?;
        Ok(Self { begins, day })
    }

    /// Days since it began.
    fn days(self) -> Result<f64> {
        Ok((now()?.as_secs_f64() - self.begins as f64) / A_DAY)
    }
}

fn now() -> Result<Duration> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")
}

fn configure(address: &Address, size: Size, clock: Clock) -> Result<PathBuf> {
    let place = workspace::demo();
    let directory = workspace::directory(&place)?;
    for name in [
        "history.db",
        "history.db-wal",
        "history.db-shm",
        "history.key",
    ] {
        let _ = fs::remove_file(directory.join(name));
    }
    let moment = |seconds: u64| {
        command::output(command("date").args([
            "-u",
            "-d",
            &format!("@{seconds}"),
            "+%Y-%m-%dT%H:%M:%SZ",
        ]))
        .map(|text| text.trim().to_owned())
    };
    let path = directory.join("sensor.toml");
    let text = format!(
        r#"# Written by `cargo xtask demo --insider slow`.
[[threshold]]
name = "bulk-read"
severity = "critical"
table = "customers"
measure = "rows"
window = "10m"
limit = {limit}

[inventory]
postgresql = "host={host} port={port} user=sensor_inventory dbname=support"

[tables]
customers = {customers}

[detection]
sensitive_tables = ["customers"]

[detection.groups]
support = ["agent*"]

[detection.fast_motion]
begins = {begins}
stands_for = {stands_for}
seconds_a_day = {A_DAY:.1}

[history]
path = "{history}"
keep_hours = "400d"

[export]
interval = "1s"
"#,
        limit = super::LIMIT,
        host = address.socket_folder.display(),
        port = address.port,
        customers = size.customers,
        begins = moment(clock.begins)?,
        stands_for = moment(u64::from(clock.day) * 86_400)?,
        history = directory.join("history.db").display(),
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// What the live days came to.
#[derive(Debug, Default)]
struct Played {
    days: u32,
    told: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    thief: String,
    lane: String,
    days_of_theft: u32,
    stolen: u64,
}

/// Lives day after day until both thieves have been told of.
fn play(
    address: &Address,
    size: Size,
    clock: Clock,
    sensor: &Sensor,
    screen: &Screen,
) -> Result<Played> {
    let mut people = Vec::new();
    for index in 1..=HIRE {
        people.push(Some(address.connect(
            &data::agent(index),
            "support",
            "helpdesk",
            desk::local(index),
        )?));
    }
    let first = clock.days()?.floor() as u32 + 1;
    screen.line(format!(
        "\nlive: from here on {AGENTS} agents look up customers by real statements, {A_DAY} seconds a day, as if \
         these were the days after that past\n"
    ));
    let mut played = Played::default();
    let mut stolen = [0u64; 2];
    let mut days_of_theft = [0u32; 2];
    for live in 0..PATIENCE {
        let plans: Vec<Vec<LookUp>> = (1..=HIRE)
            .map(|index| desk::day(index, clock.day + first + live, Some(live), size.customers))
            .collect();
        tell(screen, live, &plans);
        let failure = Mutex::new(None);
        thread::scope(|scope| {
            for ((client, plan), index) in people.iter_mut().zip(&plans).zip(1..) {
                let failure = &failure;
                scope.spawn(move || {
                    let worked = sit_down(client, address, index)
                        .and_then(|client| work(client, plan, clock, first + live));
                    if let Err(error) = worked {
                        failure
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .get_or_insert(error);
                    }
                });
            }
        });
        if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        for (at, index) in [desk::DRIFTER, HIRE].into_iter().enumerate() {
            let today = plans[index - 1].iter().filter(|one| one.stolen).count() as u64;
            stolen[at] += today;
            days_of_theft[at] += u32::from(today > 0);
        }
        // A day is judged two hours after its end; a moment more for the way to the screen.
        wait_until(clock, f64::from(first + live + 1) + 3.5 / 24.0)?;
        played.days = live + 1;
        note(&mut played, &sensor.alerts(), &stolen, &days_of_theft);
        let caught = |lane: &str| played.told.iter().any(|told| told.lane == lane);
        if caught("drift") && caught("coverage") {
            break;
        }
    }
    Ok(played)
}

/// Notes what is told of for the first time.
fn note(played: &mut Played, alerts: &[Alert], stolen: &[u64; 2], days_of_theft: &[u32; 2]) {
    for (at, thief) in desk::thieves().into_iter().enumerate() {
        for alert in alerts.iter().filter(|alert| about(&alert.text, &thief)) {
            let Some(lane) = alert
                .text
                .split_whitespace()
                .nth(2)
                .map(|lane| lane.trim_end_matches(':').to_owned())
            else {
                continue;
            };
            if !played
                .told
                .iter()
                .any(|told| told.thief == thief && told.lane == lane)
            {
                played.told.push(Told {
                    thief: thief.clone(),
                    lane,
                    days_of_theft: days_of_theft[at],
                    stolen: stolen[at],
                });
            }
        }
    }
}

/// A day's line.
fn tell(screen: &Screen, live: u32, plans: &[Vec<LookUp>]) {
    let mut usual: Vec<usize> = plans[..AGENTS].iter().map(Vec::len).collect();
    usual.sort_unstable();
    let [drifter, hire] = desk::thieves();
    screen.line(format!(
        "live day {:<2}  look-ups: {drifter} {:<3}  {hire}, hired on day 1, {:<3}  the middle one of all {}",
        live + 1,
        plans[desk::DRIFTER - 1].len(),
        plans[HIRE - 1].len(),
        usual[AGENTS / 2],
    ));
}

/// The agent's connection, which is made on the first day.
fn sit_down<'a>(
    client: &'a mut Option<postgres::Client>,
    address: &Address,
    index: usize,
) -> Result<&'a mut postgres::Client> {
    match client {
        Some(client) => Ok(client),
        None => Ok(client.insert(address.connect(
            &data::agent(index),
            "support",
            "helpdesk",
            desk::local(index),
        )?)),
    }
}

/// One agent's day: each look-up at its hour, or as soon as can be.
fn work(client: &mut postgres::Client, plan: &[LookUp], clock: Clock, day: u32) -> Result<()> {
    let look_up = client
        .prepare(LOOK_UP)
        .context("cannot prepare the look-up")?;
    for one in plan {
        wait_until(clock, f64::from(day) + one.hour / 24.0)?;
        client
            .query(&look_up, &[&data::number(one.customer)])
            .context("a look-up failed")?;
    }
    debug_assert!(plan.iter().all(|one| HOURS.contains(&one.hour)));
    Ok(())
}

/// Waits for a moment, in days since fast motion began.
fn wait_until(clock: Clock, days: f64) -> Result<()> {
    loop {
        signal::check()?;
        let left = (days - clock.days()?) * A_DAY;
        if left <= 0.0 {
            return Ok(());
        }
        thread::sleep(Duration::from_secs_f64(left.min(0.2)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_an_alert_is_about() {
        let alone = "ALERT WARNING drift: agent07 read 700 records in 4 days.\n  id     01ABC\n";
        assert!(about(alone, "agent07") && !about(alone, "agent21"));
        assert_eq!(id(alone).as_deref(), Some("01ABC"));
        let several = "ALERT WARNING group: Everybody at client host local read 9. The accounts: agent21, agent02.";
        assert!(about(several, "agent21") && !about(several, "agent02"));
    }
}
