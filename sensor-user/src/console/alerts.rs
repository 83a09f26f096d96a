//! The last alerts, for readers that come later.

use std::collections::VecDeque;

use super::{collect::millis, protocol::AlertRow};
use crate::export::{AlertRecord, describe, visible};

/// Alerts remembered.
const REMEMBERED: usize = 50;

/// See the module.
#[derive(Debug, Default)]
pub struct Alerts {
    /// With their whole text, oldest first.
    last: VecDeque<(AlertRow, String)>,
    count: u64,
}

impl Alerts {
    /// One more.
    pub fn raised(&mut self, record: &AlertRecord) {
        let text = describe(record);
        let alert = &record.alert;
        let lane = alert
            .verdict
            .as_ref()
            .map(|verdict| verdict.lane.to_string());
        let name = lane.unwrap_or_else(|| alert.threshold.to_string());
        // The first line: `ALERT SEVERITY name: what happened`.
        let first = text.lines().next().unwrap_or_default();
        let headline = first
            .split_once(&format!("{name}: "))
            .map_or(first, |(_, rest)| rest);
        let row = AlertRow {
            id: alert.id.to_string(),
            time: millis(alert.time),
            severity: alert.severity.as_str().to_owned(),
            principal: alert.principal.0,
            user: record.principal.user.as_deref().map(visible),
            headline: headline.to_owned(),
            name,
        };
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back((row, text));
        self.count += 1;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Newest first.
    pub fn rows(&self) -> Vec<AlertRow> {
        self.last.iter().rev().map(|(row, _)| row.clone()).collect()
    }

    /// The whole text of one.
    pub fn text(&self, id: &str) -> Option<String> {
        let found = self.last.iter().find(|(row, _)| row.id == id);
        found.map(|(_, text)| text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_with_their_text() {
        let mut alerts = Alerts::default();
        for number in 0..REMEMBERED + 5 {
            alerts.raised(&AlertRecord::for_tests(&format!("A{number}")));
        }
        let rows = alerts.rows();
        assert_eq!(rows.len(), REMEMBERED);
        assert_eq!(rows[0].id, format!("A{}", REMEMBERED + 4));
        assert_eq!(
            (&*rows[0].name, &*rows[0].headline),
            (
                "bulk-read",
                "ann accessed 5000 rows in 1 min (limit 1000 rows)"
            )
        );
        assert_eq!(alerts.text("A0"), None);
        let text = alerts.text(&rows[0].id).expect("remembered");
        assert!(text.contains("who    database user ann"), "{text}");
    }
}
