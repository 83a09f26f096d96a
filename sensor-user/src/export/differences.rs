//! Sums as what has been added since the last export (delta temporality).

use std::{collections::HashMap, fmt::Write as _};

use super::{
    Batch, MetricPoint, Value,
    names::{Kind, Metric},
    point::Attributes,
};
use crate::{time::Timestamp, volume::spread::Histogram};

/// What was exported last, by series. The series are bounded by what makes the points.
#[derive(Debug, Default)]
pub struct Differences {
    last: HashMap<String, (u64, Timestamp)>,
    histograms: HashMap<String, (Histogram, Timestamp)>,
}

impl Differences {
    /// Points whose sums count from the last call. What nothing was added to is left out; gauges are as they are.
    pub fn since_last(&mut self, batch: &Batch) -> Batch {
        let mut difference = Batch::from(self.sums(&batch.points));
        for point in &batch.histograms {
            let series = self
                .histograms
                .entry(identity(point.metric, &point.attributes))
                .or_insert((Histogram::default(), point.start));
            let (before, start) = *series;
            let histogram = point.histogram.since(&before).unwrap_or(point.histogram);
            if histogram.count() > 0 {
                *series = (point.histogram, point.time);
                let mut point = point.clone();
                (point.histogram, point.start) = (histogram, start);
                difference.histograms.push(point);
            }
        }
        difference
    }

    fn sums(&mut self, points: &[MetricPoint]) -> Vec<MetricPoint> {
        points
            .iter()
            .filter_map(|point| {
                if point.metric.kind == Kind::Gauge {
                    return Some(point.clone());
                }
                let series = self
                    .last
                    .entry(identity(point.metric, &point.attributes))
                    .or_insert((0, point.start));
                let (value, start) = *series;
                // Our sums never fall; one that did would have begun again.
                let value = point.value.checked_sub(value).unwrap_or(point.value);
                if value == 0 {
                    return None;
                }
                *series = (point.value, point.time);
                Some(MetricPoint {
                    start,
                    value,
                    ..point.clone()
                })
            })
            .collect()
    }
}

fn identity(metric: &Metric, attributes: &Attributes) -> String {
    let mut identity = metric.name.to_owned();
    for (key, value) in attributes {
        // No name holds these separators; values are bounded by their length.
        let _ = match value {
            Value::Text(text) => write!(identity, "\0{key}\0{}\0{text}", text.len()),
            Value::Integer(number) => write!(identity, "\0{key}\0{number}"),
            Value::Fraction(number) => write!(identity, "\0{key}\0{number}"),
            Value::List(list) => write!(identity, "\0{key}\0{list:?}"),
        };
    }
    identity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{HistogramPoint, names};

    fn point(user: &str, time: u64, value: u64) -> MetricPoint {
        MetricPoint {
            metric: &names::ROWS,
            attributes: vec![(names::USER_NAME, user.into())],
            start: Timestamp(1),
            time: Timestamp(time),
            value,
        }
    }

    #[test]
    fn each_difference_is_told_once() {
        let mut differences = Differences::default();
        let mut told = |time, values: [u64; 2]| -> Vec<(u64, u64, u64)> {
            let points = [point("a", time, values[0]), point("b", time, values[1])];
            differences
                .since_last(&points.to_vec().into())
                .points
                .iter()
                .map(|point| (point.start.0, point.time.0, point.value))
                .collect()
        };
        assert_eq!(told(10, [5, 0]), [(1, 10, 5)]);
        assert_eq!(told(20, [5, 7]), [(1, 20, 7)]);
        assert_eq!(told(30, [6, 7]), [(10, 30, 1)]);
        assert_eq!(told(40, [6, 7]), []);
        assert_eq!(told(50, [6, 9]), [(20, 50, 2)]);
    }

    #[test]
    fn buckets_are_told_as_differences_too() {
        let mut differences = Differences::default();
        let mut told = |time, statements: u64| -> Vec<(u64, u64, u64)> {
            let mut histogram = Histogram {
                sum: statements * 2,
                ..Histogram::default()
            };
            histogram.buckets[2] = statements;
            let batch = Batch {
                points: Vec::new(),
                histograms: vec![HistogramPoint {
                    metric: &names::ROWS_PER_STATEMENT,
                    attributes: vec![(names::USER_NAME, "a".into())],
                    start: Timestamp(1),
                    time: Timestamp(time),
                    histogram,
                    exemplars: Vec::new(),
                }],
            };
            let difference = differences.since_last(&batch);
            let points = difference.histograms.iter();
            points
                .map(|one| (one.start.0, one.histogram.buckets[2], one.histogram.sum))
                .collect()
        };
        assert_eq!(told(10, 5), [(1, 5, 10)]);
        assert_eq!(told(20, 5), []);
        assert_eq!(told(30, 8), [(10, 3, 6)]);
    }
}
