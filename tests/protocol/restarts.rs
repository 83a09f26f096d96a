//! A server that restarts under its clients.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::{
    Options, Volume,
    clients::Endpoint,
    patience, pause,
    raw::{self, Raw},
};

use crate::stage::{Stage, still_works};

/// Clients at work while the server restarts: what they had answered is counted, what was under way at most adds to it.
#[test]
fn server_that_restarts_under_its_clients() {
    const CLIENTS: u64 = 6;
    let mut stage = Stage::new(&Options::default());
    stage.role("restarted");
    stage.role("after");
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        let (done, answered) = at_work(&mut stage, signal, CLIENTS);
        assert!(
            done.queries > 100,
            "expected the clients to get something done, got {done:?}"
        );
        eprintln!("signal {signal}: {done:?} in {answered} connections");
    }
    // The new server is watched like the old one.
    let mut client = Raw::start(&stage.server.ipv4(), "after", &stage.database);
    let mut volume = still_works(&mut client).volume();
    (volume.bytes_sent, volume.bytes_received) = client.terminate();
    stage.expect("after", volume);
    stage.finish();
}

/// Clients query and reconnect until the server has restarted.
fn at_work(stage: &mut Stage, signal: libc::c_int, clients: u64) -> (Volume, u64) {
    let stop = AtomicBool::new(false);
    let endpoints = [stage.server.unix(), stage.server.ipv4()];
    let before = total(stage);
    let (server, database) = (&mut stage.server, &stage.database);
    let results: Vec<(Volume, u64)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|n| {
                let (endpoint, stop) = (&endpoints[(n % 2) as usize], &stop);
                scope.spawn(move || work(endpoint, database, stop))
            })
            .collect();
        pause(Duration::from_millis(700));
        server.restart(signal);
        pause(Duration::from_millis(700));
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a client"))
            .collect()
    });
    let done: Volume = results.iter().map(|(volume, _)| *volume).sum();
    let cut: u64 = results.iter().map(|(_, cut)| cut).sum();
    let deadline = Instant::now() + patience();
    loop {
        let got = total(stage);
        let queries = got.queries - before.queries;
        let rows = got.rows_returned - before.rows_returned;
        let queries_hold = (done.queries..=done.queries + cut).contains(&queries);
        let rows_hold = (done.rows_returned..=done.rows_returned + cut * 50).contains(&rows);
        if queries_hold && rows_hold {
            return (done, cut);
        }
        assert!(
            Instant::now() < deadline,
            "signal {signal}: expected {done:?} and at most {cut} queries of 50 rows more, got {queries} queries, {rows} rows"
        );
        thread::sleep(Duration::from_millis(300));
    }
}

fn total(stage: &Stage) -> Volume {
    Volume::of(&stage.sensor.metrics(), &stage.database, "restarted")
}

/// What was answered whole, and how many connections were cut with a query under way.
fn work(endpoint: &Endpoint, database: &str, stop: &AtomicBool) -> (Volume, u64) {
    let mut volume = Volume::default();
    let mut cut = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(mut client) = Raw::try_start(endpoint, "restarted", database) else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        loop {
            if stop.load(Ordering::Relaxed) {
                client.terminate();
                break;
            }
            if client
                .try_send(&raw::query("SELECT id FROM items WHERE id <= 50"))
                .is_err()
            {
                cut += 1;
                break;
            }
            let answer = client.answer();
            if answer.kinds.ends_with('Z') {
                volume += answer.volume();
            } else {
                cut += 1;
                break;
            }
        }
    }
    (volume, cut)
}
