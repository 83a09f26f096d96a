//! Packets as clients and servers write them.

use super::simulation::Simulation;

/// One packet, or several where it is as long as that.
pub fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut packets = Vec::new();
    let mut sequence = sequence;
    for part in body.chunks(0xff_ffff) {
        packets.extend(&(part.len() as u32).to_le_bytes()[..3]);
        packets.push(sequence);
        packets.extend(part);
        sequence = sequence.wrapping_add(1);
    }
    if body.len().is_multiple_of(0xff_ffff) {
        packets.extend([0, 0, 0, sequence]);
    }
    packets
}

/// Bodies one after the other, the first with number 1.
pub fn answer(bodies: &[Vec<u8>]) -> Vec<u8> {
    let packets = bodies.iter().enumerate();
    packets
        .flat_map(|(i, body)| packet((i + 1) as u8, body))
        .collect()
}

pub fn command(command: u8, argument: &[u8]) -> Vec<u8> {
    packet(0, &[&[command], argument].concat())
}

pub fn query(text: &str) -> Vec<u8> {
    command(3, text.as_bytes())
}

pub fn number(value: u64) -> Vec<u8> {
    match value {
        0..=250 => vec![value as u8],
        251..=0xffff => [&[0xfc], &value.to_le_bytes()[..2]].concat(),
        0x1_0000..=0xff_ffff => [&[0xfd], &value.to_le_bytes()[..3]].concat(),
        _ => [&[0xfe], &value.to_le_bytes()[..]].concat(),
    }
}

fn done(first: u8, affected: u64, status: u16) -> Vec<u8> {
    [
        &[first],
        &number(affected)[..],
        &number(70_000),
        &status.to_le_bytes(),
        &[0, 0],
    ]
    .concat()
}

pub fn ok(affected: u64, status: u16) -> Vec<u8> {
    done(0, affected, status)
}

/// The end of descriptions or rows.
pub fn end(deprecated: bool, status: u16) -> Vec<u8> {
    if deprecated {
        done(0xfe, 0, status)
    } else {
        [&[0xfe, 0, 0][..], &status.to_le_bytes()].concat()
    }
}

pub fn error(code: &str) -> Vec<u8> {
    [&[0xff, 0x28, 4, b'#'], code.as_bytes(), b"No such thing"].concat()
}

pub fn column(name: &str) -> Vec<u8> {
    [
        &b"\x03def\x04shop\x01t\x01t"[..],
        &[name.len() as u8],
        name.as_bytes(),
        &[0x0c, 0x3f, 0, 11, 0, 0, 0, 3, 0, 0, 0, 0, 0],
    ]
    .concat()
}

/// A result with these rows.
pub fn result(deprecated: bool, columns: usize, rows: &[Vec<u8>], status: u16) -> Vec<Vec<u8>> {
    let mut bodies = vec![number(columns as u64)];
    bodies.extend((0..columns).map(|_| column("a")));
    if !deprecated {
        bodies.push(end(false, 2));
    }
    bodies.extend_from_slice(rows);
    bodies.push(end(deprecated, status));
    bodies
}

/// Rows as text: a NULL, an empty text, and one that begins with the largest length there is for it.
pub fn rows(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|i| match i % 4 {
            0 => vec![0xfb],
            1 => vec![0],
            2 => [&[5], &b"\xfe\xff\xfe\0\0"[..]].concat(),
            _ => [&number(300)[..], &[b'x'; 300]].concat(),
        })
        .collect()
}

pub fn greeting() -> Vec<u8> {
    packet(
        0,
        b"\x0a5.5.5-10.11.14-MariaDB-0+deb12u2\0\x07\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\x1d\0\0\0ijklmnopqrst\0mysql_native_password\0",
    )
}

/// A client's answer with these capabilities beside those of the protocol.
pub fn response(capabilities: u32) -> Vec<u8> {
    packet(1, &response_body(capabilities))
}

pub fn response_body(capabilities: u32) -> Vec<u8> {
    [
        &(capabilities | 1 << 9).to_le_bytes()[..],
        &[0, 0, 0, 1, 33],
        &[0; 23],
        b"ann\0\0crm\0mysql_native_password\0",
    ]
    .concat()
}

pub const DEPRECATES: u32 = 1 << 24;

/// A connection that is ready for commands.
pub fn ready(capabilities: u32) -> Simulation {
    let mut simulation = Simulation::mysql();
    simulation.sent(&greeting());
    simulation.received(&response(capabilities));
    simulation.sent(&packet(2, &ok(0, 2)));
    simulation
}
