//! Statements that stand for a histogram's buckets: each leads to a span that is told.

use std::collections::HashMap;

use crate::{
    principal::PrincipalId,
    time::Timestamp,
    trace::{SpanContext, Spans, StatementSpan},
    volume::spread::{BUCKETS, Histogram},
};

/// A statement that stands for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// Its rows.
    pub rows: u64,
    /// When it ended.
    pub time: Timestamp,
    /// Its span.
    pub context: SpanContext,
    /// New since the last export.
    pub fresh: bool,
}

/// The last one of each bucket, by principal; as many as there are histograms.
#[derive(Debug, Default)]
pub struct Exemplars {
    /// `None`: of all that have no histogram of their own.
    of: HashMap<Option<PrincipalId>, [Option<Exemplar>; BUCKETS]>,
}

impl Exemplars {
    /// Takes in what is told. Of one second the largest of a bucket stands for it.
    pub fn offer(&mut self, spans: &Spans, is_apart: impl Fn(PrincipalId) -> bool) {
        for span in &spans.statements {
            let rows = largest(span);
            let principal = span.session.principal;
            let places = self
                .of
                .entry(is_apart(principal).then_some(principal))
                .or_default();
            let place = &mut places[Histogram::bucket(rows)];
            let same_second = |one: &Exemplar| one.time.0 / SECOND == span.ended.0 / SECOND;
            if place.is_none_or(|one| !same_second(&one) || one.rows <= rows) {
                *place = Some(Exemplar {
                    rows,
                    time: span.ended,
                    context: span.context,
                    fresh: true,
                });
            }
        }
    }

    /// Those of a histogram, smallest first.
    pub fn of(&self, principal: Option<PrincipalId>) -> Vec<Exemplar> {
        let places = self.of.get(&principal);
        places.into_iter().flatten().copied().flatten().collect()
    }

    /// They have been exported.
    pub fn told(&mut self) {
        for exemplar in self.of.values_mut().flatten().flatten() {
            exemplar.fresh = false;
        }
    }
}

const SECOND: u64 = 1_000_000_000;

/// Of several statements in one span the most that one of them had: that one was there.
fn largest(span: &StatementSpan) -> u64 {
    match span.largest {
        Some(largest) if span.volume.queries > 1 => largest.rows,
        _ => span.volume.rows(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        export::AlertRecord,
        principal::{ConnectionId, Session},
        sql::Shape,
        trace::Reason,
        volume::{Largest, Volume},
    };

    fn span(number: u8, second: u64, rows: u64, merged: Option<(u64, u64)>) -> StatementSpan {
        let context = SpanContext {
            trace: [1; 16],
            span: [number; 8],
        };
        StatementSpan {
            context,
            parent: context,
            principal: AlertRecord::for_tests("A").principal,
            session: Arc::new(Session::for_tests(ConnectionId(1), PrincipalId(3), "db")),
            shape: Arc::new(Shape::default()),
            started: Timestamp(second * SECOND),
            ended: Timestamp(second * SECOND),
            volume: Volume {
                rows_returned: rows,
                queries: merged.map_or(1, |(queries, _)| queries),
                ..Volume::default()
            },
            failed: false,
            sqlstate: None,
            largest: merged.map(|(_, rows)| Largest {
                rows,
                bytes_sent: 0,
            }),
            application: None,
            reason: Reason::Largest,
        }
    }

    #[test]
    fn the_last_of_each_bucket_stands_for_it() {
        let mut exemplars = Exemplars::default();
        let spans = Spans {
            statements: vec![
                span(1, 5, 60, None),
                span(2, 5, 99, None),
                span(3, 5, 70, None),
                span(4, 5, 200, Some((50, 4))),
                span(5, 5, 0, None),
            ],
            sessions: Vec::new(),
        };
        exemplars.offer(&spans, |_| true);
        let told = |exemplars: &Exemplars, principal| -> Vec<(u64, u8, bool)> {
            let of = exemplars.of(principal).into_iter();
            of.map(|one| (one.rows, one.context.span[0], one.fresh))
                .collect()
        };
        let three = Some(PrincipalId(3));
        assert_eq!(
            told(&exemplars, three),
            [(0, 5, true), (4, 4, true), (99, 2, true)]
        );
        exemplars.told();
        let later = Spans {
            statements: vec![span(6, 6, 51, None)],
            sessions: Vec::new(),
        };
        exemplars.offer(&later, |_| true);
        assert_eq!(
            told(&exemplars, three),
            [(0, 5, false), (4, 4, false), (51, 6, true)]
        );
        exemplars.offer(&later, |_| false);
        assert_eq!(told(&exemplars, None), [(51, 6, true)]);
    }
}
