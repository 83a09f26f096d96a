//! `sensor top`: what a running sensor sees, read at its socket.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use ratatui::crossterm::event::{self, Event};

use super::{Failure, load};
use crate::{
    config::units,
    console::{
        protocol::{Answer, Body, MOST_PRINCIPALS, Request, Sort, VERSION},
        screen::{Screen, Step},
        text,
    },
};

mod link;

use link::{Link, Watch};

/// Arguments of `sensor top`.
#[derive(Debug, clap::Args)]
pub struct TopArguments {
    /// The sensor's socket, instead of the configuration's.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The sensor's configuration file (TOML), which says where its socket is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the table once, and end.
    #[arg(long)]
    once: bool,
    /// With --once: one line of JSON with all that is known, for scripts.
    #[arg(long, requires = "once")]
    json: bool,
    /// Order; rows with --once, rows a second otherwise.
    #[arg(long, value_enum)]
    sort: Option<Sort>,
    /// Only principals of which this text is part: users, client, server or tables.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// With --once: how many principals.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,
    /// With --once: tables, statements and limits of the principal with this `id` (see --json), too.
    #[arg(long, value_name = "ID", requires = "once")]
    principal: Option<u32>,
    /// How often to look.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    interval: String,
}

/// How long a key may wait for an answer to be drawn.
const TICK: Duration = Duration::from_millis(100);

/// Runs it.
pub fn top(arguments: &TopArguments) -> Result<(), Failure> {
    let interval = units::duration_of(&arguments.interval)
        .filter(|interval| *interval >= Duration::from_millis(200))
        .ok_or_else(|| {
            Failure::Usage(format!(
                "--interval: `{}` is no duration of 200ms or more\nhint: write 500ms, 1s or 5s",
                arguments.interval
            ))
        })?;
    let config = load(arguments.config.as_deref())?;
    let Some(path) = arguments.socket.clone().or(config.console.socket) else {
        return Err(Failure::Usage(
            "the configuration switches the console off ([console] enabled = false)\nhint: switch it on and start the sensor again"
                .to_owned(),
        ));
    };
    if arguments.once {
        return once(&mut Link::new(path), arguments);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "standard input or output is no terminal\nhint: `sensor top --once` prints the table, `--once --json` all there is"
                .to_owned(),
        ));
    }
    watch(Link::new(path), arguments, interval)
}

fn once(link: &mut Link, arguments: &TopArguments) -> Result<(), Failure> {
    let snapshot = link.ask(&Request {
        version: VERSION,
        sort: arguments.sort.unwrap_or(Sort::Rows),
        filter: arguments.filter.clone(),
        limit: arguments.limit.min(MOST_PRINCIPALS),
        principal: arguments.principal,
        ..Request::default()
    })?;
    if let (Some(id), None) = (arguments.principal, &snapshot.detail) {
        return Err(anyhow!("the sensor knows no principal with id {id}").into());
    }
    let text = if arguments.json {
        let answer = Answer::new(Body::Snapshot(Box::new(snapshot)));
        serde_json::to_string(&answer).context("cannot write JSON")? + "\n"
    } else {
        let detail = snapshot.detail.as_ref().map(text::detail);
        text::table(&snapshot) + detail.as_deref().unwrap_or_default()
    };
    // A closed pipe is the reader's wish.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// The terminal as it was, whatever ends this.
struct Terminal(ratatui::DefaultTerminal);

impl Terminal {
    fn take() -> anyhow::Result<Self> {
        ratatui::try_init()
            .map(Self)
            .context("cannot draw on this terminal")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn watch(mut link: Link, arguments: &TopArguments, interval: Duration) -> Result<(), Failure> {
    let ended = Arc::new(AtomicBool::new(false));
    // SIGHUP is left alone: with the terminal gone there is none to put back, and reading it would never end. Asked a second
    // time, it ends at once.
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, ended.clone())
            .and_then(|_| signal_hook::flag::register(signal, ended.clone()))
            .context("cannot listen for signals")?;
    }
    let coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut screen = Screen::new(
        arguments.sort.unwrap_or_default(),
        arguments.filter.clone(),
        coloured,
    );
    // What is wrong from the beginning is said on the terminal as it is.
    screen.update(Ok(link.ask(&screen.request())?));
    let mut terminal = Terminal::take()?;
    let watch = Watch::start(link, screen.request(), interval)?;
    while !ended.load(Ordering::Relaxed) {
        while let Some(news) = watch.news() {
            screen.update(news);
        }
        terminal
            .0
            .draw(|frame| screen.draw(frame))
            .context("cannot draw on this terminal")?;
        if !event::poll(TICK).context("cannot read the terminal")? {
            continue;
        }
        // All that was typed, before it is drawn.
        while event::poll(Duration::ZERO).context("cannot read the terminal")? {
            let Event::Key(key) = event::read().context("cannot read the terminal")? else {
                continue;
            };
            match screen.key(key) {
                Step::Draw => {}
                Step::Ask => watch.want(screen.request()),
                Step::Quit => return Ok(()),
            }
        }
    }
    Ok(())
}
