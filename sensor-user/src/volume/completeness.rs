//! How much of what was seen was also understood; and what was not, by cause.

use std::ops::AddAssign;

/// Bytes and records of one principal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Bytes on watched sockets, both directions.
    pub bytes_seen: u64,
    /// Bytes that were parsed.
    pub bytes_parsed: u64,
    /// Bytes of TLS or GSSAPI encrypted connections.
    pub encrypted_bytes: u64,
    /// Bytes of replication and physical backup.
    pub replication_bytes: u64,
    /// Bytes of compressed connections.
    pub compressed_bytes: u64,
    /// Bytes of streams that did not parse.
    pub unparsable_bytes: u64,
    /// Bytes of connections older than the sensor before they made sense.
    pub before_start_bytes: u64,
    /// Bytes of cancel requests.
    pub control_bytes: u64,
    /// Parsed bytes of connections of which the user is not known.
    pub unattributed_bytes: u64,
    /// Parsed bytes of statements whose text is not known.
    pub unknown_statement_bytes: u64,
    /// Bytes that the socket carried but no record holds.
    pub missed_bytes: u64,
    /// Records that found the ring full: volume kept, time and order lost.
    pub lost_detail_records: u64,
    /// Statements longer than what is captured.
    pub truncated_statements: u64,
    /// Rows that are an estimate, because the exact count never crossed the wire.
    pub estimated_rows: u64,
}

/// Why bytes were not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlindSpot {
    /// TLS or GSSAPI.
    Encrypted,
    /// Replication or physical backup.
    Replication,
    /// Compressed by client and server.
    Compressed,
    /// Not the protocol, or not any more.
    Unparsable,
    /// The connection is older than the sensor.
    BeforeStart,
    /// Cancel requests.
    Control,
}

impl Completeness {
    /// Share of the bytes that was parsed: 1 when nothing was seen.
    pub fn share(&self) -> f64 {
        if self.bytes_seen == 0 {
            1.0
        } else {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a share needs no more than 53 bits"
            )]
            let share = self.bytes_parsed as f64 / self.bytes_seen as f64;
            share
        }
    }

    /// Counts bytes that were seen but not parsed.
    pub fn add_blind(&mut self, spot: BlindSpot, bytes: u64) {
        self.bytes_seen += bytes;
        *match spot {
            BlindSpot::Encrypted => &mut self.encrypted_bytes,
            BlindSpot::Replication => &mut self.replication_bytes,
            BlindSpot::Compressed => &mut self.compressed_bytes,
            BlindSpot::Unparsable => &mut self.unparsable_bytes,
            BlindSpot::BeforeStart => &mut self.before_start_bytes,
            BlindSpot::Control => &mut self.control_bytes,
        } += bytes;
    }

    /// Bytes not parsed, by cause as exported.
    pub fn blind(&self) -> [(&'static str, u64); 7] {
        [
            ("encrypted", self.encrypted_bytes),
            ("replication", self.replication_bytes),
            ("compressed", self.compressed_bytes),
            ("unparsable", self.unparsable_bytes),
            ("before_start", self.before_start_bytes),
            ("control", self.control_bytes),
            ("missed", self.missed_bytes),
        ]
    }
}

impl AddAssign for Completeness {
    fn add_assign(&mut self, other: Self) {
        self.bytes_seen += other.bytes_seen;
        self.bytes_parsed += other.bytes_parsed;
        self.encrypted_bytes += other.encrypted_bytes;
        self.replication_bytes += other.replication_bytes;
        self.compressed_bytes += other.compressed_bytes;
        self.unparsable_bytes += other.unparsable_bytes;
        self.before_start_bytes += other.before_start_bytes;
        self.control_bytes += other.control_bytes;
        self.unattributed_bytes += other.unattributed_bytes;
        self.unknown_statement_bytes += other.unknown_statement_bytes;
        self.missed_bytes += other.missed_bytes;
        self.lost_detail_records += other.lost_detail_records;
        self.truncated_statements += other.truncated_statements;
        self.estimated_rows += other.estimated_rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_reconcile() {
        let mut completeness = Completeness {
            bytes_seen: 60,
            bytes_parsed: 60,
            ..Completeness::default()
        };
        completeness.add_blind(BlindSpot::Encrypted, 30);
        completeness.add_blind(BlindSpot::Unparsable, 10);
        let blind: u64 = completeness.blind().iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(completeness.bytes_parsed + blind, completeness.bytes_seen);
        assert!((completeness.share() - 0.6).abs() < 1e-9);
    }
}
