//! Several accounts, several hosts, many principals.

use super::*;

#[test]
fn five_accounts_behind_one_new_host_are_told_of_together() {
    let mut people = People::new(80, 0.3, 0.4, 21);
    let (mut detector, mut verdicts) = (detector(), Vec::new());
    for day in 0..160 {
        people.day(day, &mut detector, &mut verdicts, |_, _, usual| usual);
        if day >= 140 && (FIRST + day + 3) % 7 < 5 {
            for who in [4, 13, 22, 35, 46] {
                let (name, group) = (format!("p{who:03}"), format!("g{}", who % 4));
                Read {
                    who: &name,
                    group: &group,
                    host: "evil",
                    day: FIRST + day,
                    hour: 15,
                    rows: 60,
                }
                .feed(&mut detector, &mut verdicts);
            }
        }
    }
    detector.finish(&mut verdicts);
    let first = told(&verdicts)
        .into_iter()
        .filter(|(name, (day, _))| {
            *day >= 140 && ["p004", "p013", "p022", "p035", "p046"].contains(&name.as_str())
        })
        .map(|(_, (day, _))| working_days(140, day))
        .min();
    assert!(
        first.is_some_and(|days| days <= 10),
        "{first:?}: {:?}",
        told(&verdicts)
    );
}

#[test]
fn three_hosts_merged_equal_one() {
    // The same days, once in one stream and once cut into three that are merged by time.
    let mut whole = (detector(), Vec::new());
    let mut parts: Vec<(u32, u32, Vec<u64>)> = Vec::new();
    let mut random = Random(5);
    for day in 0..60 {
        for hour in [9, 11, 14] {
            let keys: Vec<u64> = (0..30).map(|_| random.bits() % 5000).collect();
            parts.push((day, hour, keys));
        }
    }
    let feed = |target: &mut (Detector, Vec<Verdict>), day: u32, hour: u32, keys: &[u64]| {
        let hashed: Vec<u64> = keys.iter().map(|key| crate::detect::mix(*key)).collect();
        target.0.observe(
            &Observation {
                time: Timestamp(
                    (u64::from(FIRST + day) * 86_400 + u64::from(hour) * 3600) * 1_000_000_000,
                ),
                principal: "ann",
                group: "g",
                host: "h",
                os_user: "",
                database: "support",
                tables: &["customers"],
                operation: "SELECT",
                fingerprint: 7,
                rows: keys.len() as u64,
                statement_rows: None,
                bytes: keys.len() as u64 * 100,
                queries: 1,
                keys: Keys::Hashes(&hashed),
                key_order: Default::default(),
            },
            &mut target.1,
        );
    };
    let mut merged = (detector(), Vec::new());
    for (day, hour, keys) in &parts {
        feed(&mut whole, *day, *hour, keys);
        for host in 0..3 {
            let part: Vec<u64> = keys.iter().skip(host).step_by(3).copied().collect();
            feed(&mut merged, *day, *hour, &part);
        }
    }
    let seen = |detector: &Detector| {
        let principal = &detector.state.principals[0];
        (
            principal.series.clone().map(|series| series.level()),
            principal.coverage[0].records(3, FIRST + 59),
        )
    };
    let (whole, merged) = (seen(&whole.0), seen(&merged.0));
    // Three records are three statements, all else is the same.
    assert_eq!(whole.0[..3], merged.0[..3]);
    assert_eq!(whole.1, merged.1);
}

#[test]
fn principals_come_and_go_and_room_is_made() {
    let mut detector = detector();
    detector.calibration.max_principals = 500;
    let mut verdicts = Vec::new();
    for day in 0..60u32 {
        for who in 0..60 {
            let name = format!("day{day}-{who}");
            Read {
                who: &name,
                group: "",
                host: "h",
                day: FIRST + day,
                hour: 10,
                rows: 50,
            }
            .feed(&mut detector, &mut verdicts);
        }
        Read {
            who: "stays",
            group: "",
            host: "h",
            day: FIRST + day,
            hour: 11,
            rows: 50,
        }
        .feed(&mut detector, &mut verdicts);
    }
    assert!(detector.principals() <= 620, "{}", detector.principals());
    assert!(detector.counters().forgotten > 2000);
    let stays = detector.state.names.find("stays").expect("still known");
    let state = &detector.state.principals[stays as usize];
    assert_eq!((state.first_day, state.last_day), (FIRST, FIRST + 59));
    assert_eq!(state.series[0].days(), 59);
}

#[test]
fn a_principal_takes_a_kilobyte() {
    assert!(Detector::fixed_bytes_per_principal() <= 1024);
}

#[test]
fn the_budget_binds_and_the_likeliest_go_first() {
    let text = "[detection]\nalerts_per_day = 2\n";
    let config = Config::parse(text, std::path::Path::new("t.toml")).expect("valid");
    let mut detector = Detector::new(&config.detection, &config.tables);
    let mut people = People::new(80, 0.3, 0.4, 31);
    let mut verdicts = Vec::new();
    for day in 0..170 {
        people.day(day, &mut detector, &mut verdicts, |who, day, usual| {
            usual
                + if who % 8 == 0 && day >= 140 {
                    1500.0
                } else {
                    0.0
                }
        });
    }
    let mut shown: BTreeMap<u64, u32> = BTreeMap::new();
    for verdict in verdicts.iter().filter(|verdict| verdict.budgeted) {
        *shown
            .entry(verdict.time.0 / 86_400_000_000_000)
            .or_default() += 1;
    }
    assert!(shown.values().all(|count| *count <= 2), "{shown:?}");
    assert!(verdicts.iter().any(|verdict| !verdict.budgeted));
    let names: std::collections::BTreeSet<_> = verdicts
        .iter()
        .filter(|verdict| verdict.budgeted)
        .filter_map(|verdict| verdict.principal.clone())
        .collect();
    assert!(
        names.len() >= 8,
        "what was withheld is shown when there is room: {names:?}"
    );
}
