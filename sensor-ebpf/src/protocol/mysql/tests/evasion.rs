//! What a client may do to have rows that nobody sees, or that count as another's: each is answered by a real server as it is here.

use super::wire::{
    answer, command, error, greeting, ok, packet, query, ready, response, response_body, result,
    rows,
};
use crate::{connection::Phase, protocol::simulation::Simulation};

fn read(simulation: &mut Simulation, count: usize) {
    simulation.received(&query("SELECT a FROM t"));
    simulation.sent(&answer(&result(false, 1, &rows(count), 2)));
}

fn returned(simulation: &Simulation) -> u64 {
    simulation
        .totals()
        .iter()
        .map(|(_, [_, rows, ..])| rows)
        .sum()
}

#[test]
fn what_is_refused_ends_nothing() {
    for asked in [0x12, 0x1e, 0x13, 0x20, 0x21] {
        let mut simulation = ready(0);
        simulation.received(&command(asked, &[0; 12]));
        simulation.sent(&packet(1, &error("42000")));
        read(&mut simulation, 3);
        assert_eq!(returned(&simulation), 3, "{asked:#x}");
        // And where it is not.
        simulation.received(&command(asked, &[0; 12]));
        simulation.sent(&packet(1, &[0; 40]));
        assert_eq!(
            simulation.connection.phase,
            Phase::Replication as u8,
            "{asked:#x}"
        );
    }
}

#[test]
fn a_user_who_is_refused_leaves_the_one_before() {
    let mut simulation = ready(0);
    let before = simulation.emitted().startups.len();
    simulation.received(&command(0x11, b"bob\0\0crm\0"));
    simulation.sent(&packet(1, &error("28000")));
    read(&mut simulation, 3);
    simulation.closed();
    assert_eq!(returned(&simulation), 3);
    let startups = &simulation.emitted().startups[before..];
    assert_eq!(startups, [b"bob\0\0crm\0".to_vec(), Vec::new()]);
}

#[test]
fn tls_is_what_the_client_asks_for_however_long_it_says_so() {
    let mut simulation = Simulation::mysql();
    simulation.sent(&greeting());
    simulation.received(&response(1 << 11));
    assert_eq!(simulation.connection.phase, Phase::Encrypted as u8);
    assert!(simulation.emitted().startups.is_empty());
    let mut simulation = Simulation::mysql();
    simulation.sent(&greeting());
    simulation.received(&packet(1, &response_body(0)));
    simulation.sent(&packet(2, &ok(0, 2)));
    assert_eq!(simulation.connection.phase, Phase::Ready as u8);
}

/// In what makes no sense, the user may have been changed.
#[test]
fn whose_stream_made_no_sense_is_unknown() {
    let mut simulation = ready(0);
    let before = simulation.emitted().startups.len();
    simulation.received(&command(0x7f, b""));
    simulation.sent(&packet(1, &error("08S01")));
    simulation.received(&command(0x11, b"bob\0\0crm\0"));
    simulation.sent(&packet(1, &ok(0, 2)));
    let asked = query("SELECT a FROM t");
    simulation.received(&asked[..4]);
    simulation.received(&asked[4..]);
    simulation.sent(&answer(&result(false, 1, &rows(3), 2)));
    assert_eq!(returned(&simulation), 3);
    assert_eq!(simulation.emitted().startups[before..], [Vec::<u8>::new()]);
}
