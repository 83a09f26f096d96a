//! What docs/detection.md claims, and where it breaks.

use super::*;

/// Days watched in each of these.
const DAYS: u32 = 200;
/// People.
const PEOPLE: usize = 80;

#[test]
fn two_hundred_rows_more_a_day_are_told_of_in_a_working_week() {
    let thieves = [3usize, 22, 41, 60, 79];
    let verdicts = People::new(PEOPLE, 0.3, 0.45, 1).days(DAYS, |who, day, usual| {
        usual
            + if thieves.contains(&who) && day >= 140 {
                200.0
            } else {
                0.0
            }
    });
    let told = told(&verdicts);
    let mut after: Vec<u32> = thieves
        .iter()
        .filter_map(|who| {
            let (day, _) = told.get(&format!("p{who:03}"))?;
            (*day >= 140).then(|| working_days(140, *day))
        })
        .collect();
    after.sort_unstable();
    assert_eq!(after.len(), thieves.len(), "{told:?}");
    // The fifth has by far the most work of his own, so that two hundred more are but twice as much: that takes longer odds.
    assert!(
        after[2] <= 5 && after[3] <= 8 && after[4] <= 25,
        "{after:?}"
    );
}

#[test]
fn nobody_who_goes_on_as_ever_is_told_of() {
    let verdicts = People::new(PEOPLE, 0.3, 0.45, 2).days(DAYS, |_, _, usual| usual);
    // 80 people, some 140 working days each: 11,000; one in ten thousand is what a lane may cost.
    assert!(verdicts.len() <= 3, "{:?}", told(&verdicts));
}

#[test]
fn strong_autocorrelation_costs_false_alerts_but_not_many() {
    let verdicts = People::new(PEOPLE, 0.9, 0.45, 3).days(DAYS, |_, _, usual| usual);
    let rate = 1000.0 * verdicts.len() as f64 / (PEOPLE as f64 * f64::from(DAYS) * 5.0 / 7.0);
    assert!(rate < 2.5, "{rate} for 1,000 days of a principal");
}

#[test]
fn a_random_walk_of_levels_is_followed() {
    let mut walk = Random(9);
    let mut levels = vec![0.0f64; PEOPLE];
    let paths: Vec<Vec<f64>> = (0..DAYS)
        .map(|_| {
            for level in &mut levels {
                *level += 0.006 * walk.normal();
            }
            levels.clone()
        })
        .collect();
    let verdicts = People::new(PEOPLE, 0.3, 0.45, 4).days(DAYS, |who, day, usual| {
        usual * paths[day as usize][who].exp()
    });
    assert!(verdicts.len() <= 3, "{:?}", told(&verdicts));
}

#[test]
fn a_role_change_is_told_once_and_then_known() {
    let verdicts = People::new(PEOPLE, 0.3, 0.35, 5).days(300, |who, day, usual| {
        usual * if who == 10 && day >= 140 { 2.2 } else { 1.0 }
    });
    let about: Vec<_> = verdicts
        .iter()
        .filter(|verdict| verdict.principal.as_deref() == Some("p010"))
        .collect();
    assert!((1..=2).contains(&about.len()), "{about:#?}");
}

#[test]
fn what_everybody_does_is_nobodys_drift() {
    // A quarter's end: three times as much for three weeks; a migration that touches much more on one day.
    let verdicts = People::new(PEOPLE, 0.3, 0.45, 6).days(DAYS, |_, day, usual| {
        usual
            * match day {
                100..121 => 3.0,
                150 => 10.0,
                _ => 1.0,
            }
    });
    // The fast lane can't know in the first minutes that it is everybody: some are told of, then it does.
    let (fast, others): (Vec<_>, Vec<_>) =
        verdicts.iter().partition(|verdict| verdict.lane == "fast");
    assert!(fast.len() <= 8, "{fast:?}");
    assert!(others.len() <= 3, "{others:?}");
}

#[test]
fn a_poisoned_ramp_is_told_of_before_a_year_is_over() {
    let verdicts = People::new(PEOPLE, 0.3, 0.35, 7).days(330, |who, day, usual| {
        let weeks = f64::from(day.saturating_sub(90)) / 7.0;
        usual * if who == 10 { 1.05f64.powf(weeks) } else { 1.0 }
    });
    let told = told(&verdicts);
    let (day, _) = told.get("p010").expect("told");
    assert!((100..300).contains(day), "{told:?}");
}

#[test]
fn a_newcomer_who_reads_six_times_as_much_is_told_of_within_three_weeks() {
    let verdicts = People::new(PEOPLE, 0.3, 0.35, 8).days(DAYS, |who, day, usual| match who {
        10 | 11 if day < 120 => 0.0,
        10 => 70.0 * 6.0 * usual / usual.max(1.0),
        _ => usual,
    });
    let told = told(&verdicts);
    let (day, _) = told.get("p010").expect("told");
    assert!(working_days(120, *day) <= 15, "{told:?}");
    assert!(!told.contains_key("p011"), "{told:?}");
}

#[test]
fn an_alert_explains_itself() {
    let verdicts = People::new(PEOPLE, 0.3, 0.45, 1).days(DAYS, |who, day, usual| {
        usual + if who == 3 && day >= 140 { 300.0 } else { 0.0 }
    });
    let verdict = verdicts
        .iter()
        .find(|verdict| verdict.principal.as_deref() == Some("p003"))
        .expect("told");
    for part in ["p003", "to be expected", "peers", "1 in ", "To silence it"] {
        assert!(
            verdict.explanation.contains(part),
            "`{part}` is not in: {}",
            verdict.explanation
        );
    }
    assert!(verdict.observed > 2 * verdict.expected, "{verdict:#?}");
    assert!(verdict.peers.is_some_and(|peers| peers < verdict.observed));
    assert_eq!(verdict.statements[0].fingerprint, "0000000000000007");
    assert_eq!(verdict.group.as_deref(), Some("g3"));
}

#[test]
fn alerts_of_every_lane_explain_themselves() {
    let mut people = People::new(PEOPLE, 0.3, 0.4, 21);
    let (mut detector, mut verdicts) = (detector(), Vec::new());
    let extra = |who: usize,
                 host: &str,
                 day: u32,
                 rows: u64,
                 detector: &mut Detector,
                 verdicts: &mut Vec<Verdict>| {
        let (name, group) = (format!("p{who:03}"), format!("g{}", who % 4));
        Read {
            who: &name,
            group: &group,
            host,
            day: FIRST + day,
            hour: 15,
            rows,
        }
        .feed(detector, verdicts);
    };
    for day in 0..165 {
        // One begins to take more, another has come a short while ago and takes much from the first day.
        people.day(
            day,
            &mut detector,
            &mut verdicts,
            |who, day, usual| match who {
                3 if day >= 140 => usual + 300.0,
                10 if day < 120 => 0.0,
                10 => 420.0,
                _ => usual,
            },
        );
        if day >= 140 && (FIRST + day + 3) % 7 < 5 {
            for who in [4, 13, 22, 35, 46] {
                extra(who, "evil", day, 60, &mut detector, &mut verdicts);
            }
        }
        if day == 150 {
            extra(20, "h20", day, 50_000, &mut detector, &mut verdicts);
        }
    }
    let lanes: std::collections::BTreeSet<&str> =
        verdicts.iter().map(|verdict| verdict.lane).collect();
    assert_eq!(
        lanes.into_iter().collect::<Vec<_>>(),
        ["coverage", "drift", "fast", "group"]
    );
    for verdict in &verdicts {
        let whom = verdict
            .principal
            .as_ref()
            .or(verdict.host.as_ref())
            .or(verdict.group.as_ref());
        let whom = whom.expect("somebody").to_string();
        for part in [
            whom.as_str(),
            "to be expected",
            "By chance",
            "1 in ",
            "To silence it",
        ] {
            assert!(
                verdict.explanation.contains(part),
                "`{part}` is not in: {}",
                verdict.explanation
            );
        }
        assert!(
            verdict.odds >= 100 && verdict.window_seconds > 0,
            "{verdict:#?}"
        );
        assert!(verdict.observed > verdict.expected, "{verdict:#?}");
        assert!(
            !verdict.statements.is_empty() || !verdict.principals.is_empty(),
            "{verdict:#?}"
        );
    }
}

#[test]
fn the_new_normal_is_silent_from_then_on() {
    let mut people = People::new(PEOPLE, 0.3, 0.35, 12);
    let (mut detector, mut verdicts) = (detector(), Vec::new());
    let change =
        |who: usize, day: u32, usual: f64| usual * if who == 10 && day >= 140 { 4.0 } else { 1.0 };
    for day in 0..150 {
        people.day(day, &mut detector, &mut verdicts, change);
    }
    assert!(told(&verdicts).contains_key("p010"));
    assert!(detector.accept("p010"));
    assert!(!detector.accept("nobody"));
    verdicts.clear();
    for day in 150..260 {
        people.day(day, &mut detector, &mut verdicts, change);
    }
    assert!(!told(&verdicts).contains_key("p010"), "{verdicts:#?}");
}
