//! What has come so far of a connection's statements that are not over.
//!
//! Records do not come in the order of what they tell: a small statement leaves the kernel with the next drain
//! (docs/decisions/merging.md), after the first rows of a result that began to stream when it was over. So a statement that ends is
//! only given what was seen of its own text, and before its end.

use super::Volume;

/// Statements remembered: portals may be left open, each fetched from at times.
const MOST: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct UnderWay {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    fingerprint: u64,
    volume: Volume,
    /// When the last of it was seen, by the kernel's clock.
    seen: u64,
}

impl UnderWay {
    /// More of a statement that goes on; what it has come to.
    pub fn add(&mut self, fingerprint: u64, volume: Volume, seen: u64) -> Volume {
        let mut parts = self.parts.iter_mut();
        let known = parts.find(|part| part.fingerprint == fingerprint);
        if volume == Volume::default() {
            return known.map_or(volume, |part| part.volume);
        }
        if let Some(part) = known {
            part.volume += volume;
            part.seen = part.seen.max(seen);
            return part.volume;
        }
        if self.parts.len() == MOST {
            self.parts.remove(0);
        }
        self.parts.push(Part {
            fingerprint,
            volume,
            seen,
        });
        volume
    }

    /// Is no statement under way?
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// All of a statement that ended with this.
    pub fn end(&mut self, fingerprint: u64, last: Volume, ended: u64) -> Volume {
        let own = |part: &Part| part.fingerprint == fingerprint && part.seen <= ended;
        let mut whole = last;
        if let Some(at) = self.parts.iter().position(own) {
            whole += self.parts.remove(at).volume;
        }
        whole
    }

    /// The statement that had come to something last when the connection ended.
    pub fn abandoned(&self) -> Option<(u64, Volume)> {
        let last = self.parts.iter().max_by_key(|part| part.seen);
        last.map(|part| (part.fingerprint, part.volume))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: u64) -> Volume {
        Volume {
            rows_returned: rows,
            ..Volume::default()
        }
    }

    #[test]
    fn a_small_statement_that_is_told_late_takes_nothing_of_the_next() {
        let mut under_way = UnderWay::default();
        under_way.add(5, rows(591), 200);
        // Over before, of another text or of the same.
        assert_eq!(under_way.end(7, rows(7), 100), rows(7));
        assert_eq!(under_way.end(5, rows(8), 100), rows(8));
        under_way.add(5, rows(9), 250);
        assert_eq!(under_way.end(5, rows(3900), 300), rows(4500));
        assert_eq!(under_way.end(5, rows(1), 400), rows(1));
    }

    #[test]
    fn portals_are_kept_apart_and_bounded() {
        let mut under_way = UnderWay::default();
        for portal in 0..100 {
            under_way.add(portal, rows(portal), portal);
        }
        assert_eq!(under_way.parts.len(), MOST);
        assert_eq!(under_way.end(99, rows(1), 200), rows(100));
        assert_eq!(under_way.abandoned(), Some((98, rows(98))));
    }
}
