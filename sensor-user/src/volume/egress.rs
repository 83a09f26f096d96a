//! Statements by which data left through the server's own hands, by who and where to; bounded.

use std::{collections::HashMap, sync::Arc};

use super::Access;
use crate::{principal::PrincipalId, sql::Egress, time::Timestamp};

/// Series kept apart; what comes beyond is counted without its destination.
const MOST: usize = 10_000;

/// What a count is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EgressKey {
    /// Whose.
    pub principal: PrincipalId,
    /// `db.namespace`.
    pub database: Arc<str>,
    /// How, and where to.
    pub egress: Egress,
}

/// Statements by [`EgressKey`].
#[derive(Debug, Default)]
pub struct EgressTotals {
    series: HashMap<EgressKey, (u64, Timestamp)>,
}

impl EgressTotals {
    /// Takes in an access; only statements that completed count.
    pub fn observe(&mut self, access: &Access<'_>) {
        let Some(egress) = &access.shape.egress else {
            return;
        };
        if access.volume.queries == 0 {
            return;
        }
        let mut key = EgressKey {
            principal: access.principal,
            database: access.session.database.clone(),
            egress: egress.clone(),
        };
        if self.series.len() >= MOST && !self.series.contains_key(&key) {
            key.egress.destination = "other".into();
        }
        self.series.entry(key).or_insert((0, access.time)).0 += access.volume.queries;
    }

    /// Each series: statements, and since when.
    pub fn series(&self) -> impl Iterator<Item = (&EgressKey, u64, Timestamp)> {
        self.series
            .iter()
            .map(|(key, (count, first))| (key, *count, *first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        principal::{ConnectionId, Session},
        sql::{EgressRoute, Shape},
        volume::{AccessKind, Volume},
    };

    #[test]
    fn counts_by_destination_and_is_bounded() {
        let mut totals = EgressTotals::default();
        let session = Session::for_tests(ConnectionId(1), PrincipalId(0), "crm");
        for i in 0..MOST + 50 {
            let shape = Shape {
                egress: Some(Egress {
                    route: EgressRoute::CopyToFile,
                    destination: format!("/tmp/{i}").into(),
                }),
                ..Shape::default()
            };
            totals.observe(&Access {
                time: Timestamp(7),
                started: Timestamp(5),
                principal: PrincipalId(0),
                session: &session,
                shape_id: 2,
                shape: &shape,
                volume: Volume {
                    queries: 1,
                    ..Volume::default()
                },
                kind: AccessKind::Completed,
                largest: None,
                picked: None,
            });
        }
        assert_eq!(totals.series().count(), MOST + 1);
        let sum: u64 = totals.series().map(|(_, count, _)| count).sum();
        assert_eq!(sum, MOST as u64 + 50);
    }
}
