//! What MySQL 8 has brought: query attributes, and results without descriptions of their columns.

use super::wire::{
    DEPRECATES, answer, column, command, end, number, ok, packet, query, ready, result, rows,
};
use crate::protocol::simulation::Simulation;

/// A client that says it sends query attributes.
const ATTRIBUTES: u32 = 1 << 27;

/// So many attributes with texts as values, and a statement.
fn with_attributes(count: u8, value: &str, text: &str) -> Vec<u8> {
    let mut body = vec![count, 1];
    if count > 0 {
        body.extend(vec![0; usize::from(count).div_ceil(8)]);
        body.push(1);
    }
    for _ in 0..count {
        body.extend(b"\xfe\0\x05trace");
    }
    for _ in 0..count {
        body.extend(number(value.len() as u64));
        body.extend(value.as_bytes());
    }
    body.extend(text.as_bytes());
    command(3, &body)
}

/// Queries and rows returned of a statement.
fn of(simulation: &Simulation, text: &str) -> [u64; 2] {
    let totals = simulation.totals();
    let found = totals.iter().find(|(known, _)| known == text);
    found.map_or([0; 2], |(_, sums)| [sums[0], sums[1]])
}

#[test]
fn statements_keep_their_text_behind_attributes() {
    for capabilities in [0, ATTRIBUTES, ATTRIBUTES | DEPRECATES] {
        for count in [0, 1, 8, 9, 31, 40, 128] {
            if capabilities == 0 && count > 31 {
                // As many as the first letters of texts have numbers: known of those who say so.
                continue;
            }
            for cut in [1, 4, 7, 10_000] {
                let mut simulation = ready(capabilities);
                let ask = with_attributes(count, "00-abc-01", "SELECT a FROM t");
                for piece in ask.chunks(cut) {
                    simulation.received(piece);
                }
                let deprecated = capabilities & DEPRECATES != 0;
                simulation.sent(&answer(&result(deprecated, 1, &rows(3), 2)));
                simulation.closed();
                assert_eq!(of(&simulation, "SELECT a FROM t"), [1, 3], "{count} {cut}");
            }
        }
    }
}

#[test]
fn a_server_that_takes_no_attributes_gets_texts() {
    let mut simulation = ready(ATTRIBUTES);
    simulation.received(&query("SELECT a FROM t"));
    simulation.sent(&answer(&result(false, 1, &rows(3), 2)));
    simulation.received(&command(2, b"crm"));
    simulation.sent(&answer(&[ok(0, 2)]));
    simulation.closed();
    assert_eq!(of(&simulation, "SELECT a FROM t"), [1, 3]);
    assert_eq!(of(&simulation, "USE crm"), [1, 0]);
}

/// Then the statement has no name: what stands where its text would be holds values, which never leave as text.
#[test]
fn attributes_that_are_not_passed_over_leave_the_rows_and_no_values() {
    let long = "x".repeat(9000);
    let mut many = vec![3, 0xfc, 44, 1, 1];
    many.extend([0; 38]);
    many.push(1);
    many.extend((0..300).flat_map(|_| *b"\xfe\0\x05trace"));
    many.extend((0..300).flat_map(|_| *b"\x03ann"));
    many.extend(b"SELECT a FROM t");
    for (ask, agreed) in [
        (with_attributes(1, &long, "SELECT a FROM t"), true),
        (with_attributes(129, "ann", "SELECT a FROM t"), true),
        (packet(0, &many), true),
        (with_attributes(5, &long, "SELECT a FROM t"), false),
        (with_attributes(31, &long, "SELECT a FROM t"), false),
    ] {
        let mut simulation = ready(if agreed { ATTRIBUTES } else { 0 });
        simulation.received(&ask);
        simulation.sent(&answer(&result(false, 1, &rows(3), 2)));
        simulation.closed();
        let totals = simulation.totals();
        let rows: u64 = totals.iter().map(|(_, sums)| sums[1]).sum();
        assert_eq!(rows, 3, "{totals:?}");
        assert!(simulation.emitted().texts.is_empty(), "{totals:?}");
    }
}

#[test]
fn descriptions_may_be_left_out() {
    for deprecated in [false, true] {
        for described in [false, true] {
            let mut simulation = ready(if deprecated { DEPRECATES } else { 0 });
            let mut prepared = vec![
                [
                    &[0, 7, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0][..],
                    &[u8::from(described)],
                ]
                .concat(),
            ];
            for count in [1, 2] {
                if described {
                    prepared.extend((0..count).map(|_| column("?")));
                }
                if !deprecated {
                    prepared.push(end(false, 2));
                }
            }
            let mut found = result(deprecated, 2, &rows(5), 2);
            found[0].push(u8::from(described));
            if !described {
                found.drain(1..3);
            }
            simulation.received(&command(0x16, b"SELECT a, b FROM t WHERE c = ?"));
            simulation.sent(&answer(&prepared));
            assert_eq!(
                simulation.connection.outstanding, 0,
                "{deprecated} {described}"
            );
            for _ in 0..3 {
                simulation.received(&command(0x17, &[7, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 8, 0, 5]));
                simulation.sent(&answer(&found));
            }
            simulation.closed();
            assert_eq!(
                of(&simulation, "SELECT a, b FROM t WHERE c = ?"),
                [3, 15],
                "{deprecated} {described}"
            );
        }
    }
}
