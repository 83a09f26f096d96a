//! What people said of alerts, and what follows from it.

use anyhow::Result;
use rusqlite::{Connection, params};
use rustc_hash::FxHashMap;

use super::{AlertRow, alerts, count, seconds, stored, timestamp};
use crate::{detect::threshold::Silence, time::Timestamp};

/// How long a false alert keeps its like silent.
const FALSE_DAYS: u64 = 30;
/// How far above what is normal now the next alert of a limit begins.
const NORMAL_QUARTERS: u64 = 5;

/// What was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FateKind {
    /// It is expected, until then.
    Expected(Timestamp),
    /// It is how things are from now on.
    NewNormal,
    /// There was nothing to it.
    False,
}

impl FateKind {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expected(_) => "expected",
            Self::NewNormal => "new-normal",
            Self::False => "false",
        }
    }
}

/// One acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Its number.
    pub id: i64,
    /// The alert's id.
    pub alert: String,
    /// When it was said.
    pub time: Timestamp,
    /// `expected`, `new-normal` or `false`.
    pub kind: String,
    /// The threshold or lane.
    pub rule: String,
    /// Whom it holds for.
    pub subject: String,
    /// Until when alerts are silent; `None`: no end.
    pub until: Option<Timestamp>,
    /// Up to which amount they are; `None`: any.
    pub up_to: Option<u64>,
    /// Why.
    pub reason: String,
    /// Who said it.
    pub told_by: String,
    /// Whether the detector has taken a new normal up.
    pub applied: bool,
}

impl Fate {
    /// What it keeps silent.
    pub fn silence(&self) -> Silence {
        Silence {
            up_to: self.up_to,
            until: self.until,
        }
    }

    /// Stores what was said of an alert; returns it as it holds from now on.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn tell(
        connection: &Connection,
        alert: &AlertRow,
        kind: FateKind,
        reason: &str,
        told_by: &str,
        now: Timestamp,
    ) -> Result<Self> {
        let by_threshold = alert.lane == alerts::THRESHOLD;
        let (until, up_to) = match kind {
            FateKind::Expected(until) => (Some(until), None),
            FateKind::NewNormal if !by_threshold && alert.subject.starts_with("principal ") => {
                // The detector takes it up: nothing has to be kept silent.
                (Some(now), None)
            }
            FateKind::NewNormal => (
                None,
                Some(alert.observed.saturating_mul(NORMAL_QUARTERS) / 4),
            ),
            FateKind::False => {
                let days = std::time::Duration::from_secs(FALSE_DAYS * 86_400);
                (Some(now + days), Some(alert.observed))
            }
        };
        connection.execute(
            "INSERT INTO fate (alert, time, kind, rule, subject, until, up_to, reason, told_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                alert.id,
                seconds(now),
                kind.as_str(),
                alert.rule,
                alert.subject,
                until.map(seconds),
                up_to.map(stored),
                reason,
                told_by
            ],
        )?;
        Ok(Self {
            id: connection.last_insert_rowid(),
            alert: alert.id.clone(),
            time: now,
            kind: kind.as_str().to_owned(),
            rule: alert.rule.clone(),
            subject: alert.subject.clone(),
            until,
            up_to,
            reason: reason.to_owned(),
            told_by: told_by.to_owned(),
            applied: false,
        })
    }
}

/// All that was said; of one subject and rule the last word holds.
#[derive(Clone, Debug, Default)]
pub struct Fates {
    last: FxHashMap<(String, String), Fate>,
    newest: i64,
    all: Vec<Fate>,
}

impl Fates {
    /// Reads them.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn load(connection: &Connection) -> Result<Self> {
        let mut statement = connection.prepare(
            "SELECT id, alert, time, kind, rule, subject, until, up_to, reason, told_by, applied FROM fate ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Fate {
                id: row.get(0)?,
                alert: row.get(1)?,
                time: timestamp(row.get(2)?),
                kind: row.get(3)?,
                rule: row.get(4)?,
                subject: row.get(5)?,
                until: row.get::<_, Option<i64>>(6)?.map(timestamp),
                up_to: row.get::<_, Option<i64>>(7)?.map(count),
                reason: row.get(8)?,
                told_by: row.get(9)?,
                applied: row.get::<_, Option<i64>>(10)?.is_some(),
            })
        })?;
        let mut fates = Self::default();
        for fate in rows {
            fates.push(fate?);
        }
        Ok(fates)
    }

    fn push(&mut self, fate: Fate) {
        self.newest = self.newest.max(fate.id);
        self.last
            .insert((fate.rule.clone(), fate.subject.clone()), fate.clone());
        self.all.push(fate);
    }

    /// Is there more by now?
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn is_stale(&self, connection: &Connection) -> Result<bool> {
        let newest: Option<i64> = connection
            .prepare_cached("SELECT max(id) FROM fate")?
            .query_row([], |row| row.get(0))?;
        Ok(newest.unwrap_or(0) != self.newest)
    }

    /// The fate that keeps an alert silent.
    pub fn suppresses(
        &self,
        rule: &str,
        subject: &str,
        time: Timestamp,
        observed: u64,
    ) -> Option<&Fate> {
        let fate = self.last.get(&(rule.to_owned(), subject.to_owned()))?;
        fate.silence().holds(time, observed).then_some(fate)
    }

    /// New normals that the detector has not taken up yet: number and principal.
    pub fn unapplied(&self) -> impl Iterator<Item = (i64, &str)> {
        self.all
            .iter()
            .filter(|fate| fate.kind == FateKind::NewNormal.as_str() && !fate.applied)
            .filter_map(|fate| Some((fate.id, fate.subject.strip_prefix("principal ")?)))
    }

    /// What was said of an alert last.
    pub fn of(&self, alert: &str) -> Option<&Fate> {
        self.all.iter().rev().find(|fate| fate.alert == alert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(id: i64, until: Option<u64>, up_to: Option<u64>) -> Fate {
        Fate {
            id,
            alert: "A".into(),
            time: Timestamp(0),
            kind: "expected".into(),
            rule: "bulk".into(),
            subject: "ann".into(),
            until: until.map(Timestamp),
            up_to,
            reason: String::new(),
            told_by: String::new(),
            applied: false,
        }
    }

    #[test]
    fn the_last_word_holds_within_its_time_and_size() {
        let mut fates = Fates::default();
        fates.push(fate(1, Some(100), None));
        let suppressed = |fates: &Fates, time, observed| {
            let fate = fates.suppresses("bulk", "ann", Timestamp(time), observed);
            fate.map(|fate| fate.id)
        };
        assert_eq!(suppressed(&fates, 99, 1_000_000), Some(1));
        assert_eq!(suppressed(&fates, 100, 1), None);
        assert_eq!(fates.suppresses("bulk", "bob", Timestamp(1), 1), None);
        assert_eq!(fates.suppresses("other", "ann", Timestamp(1), 1), None);
        fates.push(fate(2, None, Some(500)));
        assert_eq!(suppressed(&fates, 1_000, 500), Some(2));
        assert_eq!(suppressed(&fates, 1, 501), None, "the first word is over");
    }
}
