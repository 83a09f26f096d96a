//! Sums as what has been added since the last export (delta temporality).

use std::{collections::HashMap, fmt::Write as _};

use super::{MetricPoint, Value, names::Kind};
use crate::time::Timestamp;

/// What was exported last, by series. The series are bounded by what makes the points.
#[derive(Debug, Default)]
pub struct Differences {
    last: HashMap<String, (u64, Timestamp)>,
}

impl Differences {
    /// Points whose sums count from the last call. A sum to which nothing was added is left out; gauges are as they
    /// are.
    pub fn since_last(&mut self, points: &[MetricPoint]) -> Vec<MetricPoint> {
        points
            .iter()
            .filter_map(|point| {
                if point.metric.kind == Kind::Gauge {
                    return Some(point.clone());
                }
                let series = self.last.entry(identity(point)).or_insert((0, point.start));
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

fn identity(point: &MetricPoint) -> String {
    let mut identity = point.metric.name.to_owned();
    for (key, value) in &point.attributes {
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
    use crate::export::names;

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
                .since_last(&points)
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
}
