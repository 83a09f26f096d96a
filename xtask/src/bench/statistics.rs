//! Medians and how sure they are. Pure.

/// A median and the 95 % interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Median of the values with its 95 % interval by order statistics, which asks nothing of their distribution: as many
/// values lie below the true median as heads fall in fair throws of a coin. With fewer than six values no interval is
/// that sure, and the extremes are given. `None` without values.
pub fn median(values: &[f64]) -> Option<Estimate> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let middle = count / 2;
    let median = match count {
        0 => return None,
        _ if count.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    };
    let out = left_out(count);
    Some(Estimate {
        median,
        low: sorted[out],
        high: sorted[count - 1 - out],
    })
}

/// How many values at each end lie outside the interval: the most for which both tails together weigh at most 5 %.
fn left_out(count: usize) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "some dozens of values")]
    let count_f = count as f64;
    let mut probability = 0.5f64.powf(count_f);
    let mut tail = 0.0;
    for heads in 0..count / 2 {
        tail += probability;
        if 2.0 * tail > 0.05 {
            // Leaving out so many more than the last would be one too many.
            return heads.saturating_sub(1);
        }
        #[expect(clippy::cast_precision_loss, reason = "some dozens of values")]
        let heads_f = heads as f64;
        probability *= (count_f - heads_f) / (heads_f + 1.0);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]).map(|found| found.median), Some(3.0));
        assert_eq!(
            median(&[4.0, 1.0, 2.0]).map(|found| found.median),
            Some(2.0)
        );
        assert_eq!(
            median(&[4.0, 1.0, 2.0, 3.0]).map(|found| found.median),
            Some(2.5)
        );
    }

    /// Against the tables of the sign test.
    #[test]
    fn intervals_leave_out_what_the_tables_say() {
        for (count, out) in [
            (5, 0),
            (6, 0),
            (9, 1),
            (12, 2),
            (15, 3),
            (20, 5),
            (25, 7),
            (40, 13),
        ] {
            assert_eq!(left_out(count), out, "{count} values");
        }
    }
}
