//! The group lane: one thief behind several accounts.
//!
//! Two ways. For a client host or an OS user: the sum of all accounts there against the sum of what each of them was
//! to be expected to read that day, by the same sequential test. For a team: do several members drift at once, each
//! too little to be told of alone?

/// Members of whom a team's alert may be made up.
const MOST_MEMBERS: usize = 8;
/// A member's logarithm counts up to here.
const MOST: f32 = 9.0;

/// Several members' logarithms of the drift statistic, together: the best number of members, and the logarithm with
/// the number of ways to choose as many taken off. `usual`: what the logarithm is of somebody who does nothing.
pub fn together(logs: &mut [(f32, u32)], usual: f32) -> Option<(f32, usize)> {
    if logs.len() < 4 {
        return None;
    }
    logs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let members = logs.len() as f32;
    let (mut sum, mut ways) = (0.0, 0.0);
    let mut best: Option<(f32, usize)> = None;
    for (at, (log, _)) in logs.iter().take(MOST_MEMBERS).enumerate() {
        let chosen = at as f32 + 1.0;
        // Who is told of alone makes no group of his team.
        sum += log.min(MOST) - usual;
        // Logarithm of the binomial coefficient, one factor at a time.
        ways += ((members - at as f32) / chosen).ln();
        if at >= 2 && best.is_none_or(|(best, _)| sum - ways > best) {
            best = Some((sum - ways, at + 1));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_who_drift_a_little_are_more_than_chance() {
        let mut team: Vec<(f32, u32)> = (0..25).map(|id| (1.0, id)).collect();
        let (alone, _) = together(&mut team.clone(), 1.5).expect("enough members");
        assert!(alone < 0.0, "{alone}");
        for (log, _) in team.iter_mut().take(5) {
            *log = 7.0;
        }
        let (log, members) = together(&mut team, 1.5).expect("enough members");
        assert_eq!(members, 5);
        assert!(log > 10.0, "{log}");
    }

    #[test]
    fn one_alone_is_not_a_group() {
        let mut team: Vec<(f32, u32)> = (0..25).map(|id| (0.5, id)).collect();
        team[0].0 = 9.0;
        let (log, _) = together(&mut team, 1.5).expect("enough members");
        assert!(log < 5.0, "{log}");
    }
}
