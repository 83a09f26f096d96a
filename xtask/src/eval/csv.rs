//! Records as the CSV that `sensor replay` reads; docs/detection.md has the columns.

use std::io::{self, Write};

use super::{
    record::{Day, Host, Record},
    world::World,
};

/// The header row.
pub const HEADER: &str = "time,principal,group,host,database,table,operation,fingerprint,statement_rows,rows,bytes,queries,keys,key_order\n";

/// Writes records.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    line: Vec<u8>,
    keys: bool,
}

impl<W: Write> Writer<W> {
    /// Writes the header. Without `keys`, no hashes are told, and each row counts as a record.
    pub fn new(mut out: W, keys: bool) -> io::Result<Self> {
        out.write_all(HEADER.as_bytes())?;
        Ok(Self {
            out,
            line: Vec::new(),
            keys,
        })
    }

    /// Writes one.
    pub fn write(&mut self, world: &World, day: &Day, record: &Record) -> io::Result<()> {
        let keys = if self.keys { day.keys(record) } else { &[] };
        let line = &mut self.line;
        line.clear();
        let account = &world.accounts[record.account as usize];
        number(line, record.time / 1000);
        let milliseconds = record.time % 1000;
        if milliseconds > 0 {
            line.push(b'.');
            for divisor in [100, 10, 1] {
                line.push(b'0' + (milliseconds / divisor % 10) as u8);
            }
        }
        for text in [&account.name, &account.group] {
            line.push(b',');
            line.extend(text.as_bytes());
        }
        line.push(b',');
        address(line, record.host);
        for text in [
            &world.scenario.table.database,
            &world.tables[usize::from(record.table)],
        ] {
            line.push(b',');
            line.extend(text.as_bytes());
        }
        line.push(b',');
        line.extend(record.operation.as_str().as_bytes());
        line.push(b',');
        hex(line, record.fingerprint);
        for value in [
            record.statement_rows,
            record.rows,
            record.bytes,
            record.queries,
        ] {
            line.push(b',');
            number(line, value);
        }
        line.push(b',');
        for (at, key) in keys.iter().enumerate() {
            if at > 0 {
                line.push(b' ');
            }
            hex(line, *key);
        }
        line.extend(if record.ascending {
            b",ascending\n".as_slice()
        } else {
            b",\n"
        });
        self.out.write_all(line)
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn number(line: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    line.extend(&digits[at..]);
}

fn hex(line: &mut Vec<u8>, value: u64) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for shift in (0..16).rev() {
        line.push(DIGITS[(value >> (4 * shift)) as usize & 15]);
    }
}

fn address(line: &mut Vec<u8>, Host(number_of): Host) {
    line.extend(b"10");
    for shift in [16, 8, 0] {
        line.push(b'.');
        number(line, u64::from(number_of >> shift & 255));
    }
}

/// A host as it is written.
pub fn host_name(host: Host) -> String {
    let mut line = Vec::new();
    address(&mut line, host);
    String::from_utf8(line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{
        record::Operation,
        scenario::Scenario,
        world::{Telling, World},
    };

    #[test]
    fn a_record_is_written_as_it_is() {
        let scenario = Scenario::load(None).expect("valid").scaled(50);
        let telling = Telling {
            seed: 1,
            population: 0,
            days: 70,
            fine: false,
        };
        let world = World::new(&scenario, telling, &[]);
        let day = Day {
            records: Vec::new(),
            keys: vec![255, 16],
        };
        let record = Record {
            time: 1_704_067_200_050,
            account: 0,
            host: Host(258),
            table: 0,
            operation: Operation::Select,
            fingerprint: 0xab,
            statement_rows: 2,
            rows: 2,
            bytes: 200,
            queries: 1,
            keys: 0..2,
            ascending: true,
            attack: 0,
        };
        let mut writer = Writer::new(Vec::new(), true).expect("header");
        writer.write(&world, &day, &record).expect("written");
        let text = String::from_utf8(writer.finish().expect("flushed")).expect("text");
        let line = text.lines().nth(1).expect("a row");
        assert_eq!(
            line,
            "1704067200.050,agent00000,team0000,10.0.1.2,support,public.customers,SELECT,00000000000000ab,2,2,200,1,\
             00000000000000ff 0000000000000010,ascending"
        );
        assert_eq!(line.split(',').count(), HEADER.split(',').count());
    }
}
