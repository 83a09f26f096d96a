use std::{path::Path, time::Duration};

use super::{
    Config, EXAMPLE,
    threshold::{Limit, Window},
};
use crate::detect::Measure;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("sensor.toml")).map_err(|error| error.to_string())
}

#[test]
fn the_example_says_what_the_defaults_are() {
    let example = parse(EXAMPLE).expect("the example is valid");
    assert_eq!(format!("{example:?}"), format!("{:?}", Config::default()));
}

/// Each wrong file with the place and the words that its message must hold.
#[test]
fn wrong_files_are_refused_with_place_and_hint() {
    for (text, place, words) in [
        (
            "[kernel]\nring_byte = \"8MiB\"",
            "sensor.toml:2:1:",
            "did you mean `ring_bytes`?",
        ),
        (
            "[kernel]\nring_bytes = \"7MiB\"",
            "sensor.toml:2:14:",
            "power of two",
        ),
        (
            "[kernel]\ndrain_interval = \"fast\"",
            "sensor.toml:2:18:",
            "number and a unit",
        ),
        (
            "[kernel]\ndrain_interval = \"2h\"",
            "sensor.toml:2:18:",
            "out of range",
        ),
        (
            "[kernel]\nnetwork_namespace = \"mine\"",
            "sensor.toml:2:21:",
            "write \"all\"",
        ),
        (
            "[kernel]\ntls = \"yes\"",
            "sensor.toml:2:7:",
            "\"plaintext\" (statements and rows",
        ),
        (
            "[discover]\nsystems = []",
            "sensor.toml:2:11:",
            "name those to watch",
        ),
        (
            "[discover]\nsystems = [\"redis\", \"oracle\"]",
            "sensor.toml:2:21:",
            "`oracle` is no database system",
        ),
        (
            "[discover]\nsystems = [\"redis\"]\nextra_command_names = [\"pgx\"]",
            "sensor.toml:3:24:",
            "add \"postgresql\"",
        ),
        (
            "[kernel]\nsecond_programs = \"maybe\"",
            "sensor.toml:2:19:",
            "write \"auto\"",
        ),
        (
            "[kernel]\nhooks = \"kprobe\"",
            "sensor.toml:2:9:",
            "\"fexit\" or \"sys_exit\"",
        ),
        (
            "[console]\nsocket = \"run/s.sock\"",
            "sensor.toml:2:10:",
            "write an absolute path",
        ),
        ("[kernl]\n", "sensor.toml:1:2:", "did you mean `kernel`?"),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"\nlimt = 5",
            "sensor.toml:4:1:",
            "did you mean `limit`?",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"",
            "sensor.toml:2:8:",
            "`limit` or `share`",
        ),
        (
            "[[threshold]]\nname = \"a\"\nlimit = 5",
            "sensor.toml:2:8:",
            "`window` or `per`",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"\nlimit = 0",
            "sensor.toml:4:9:",
            "above zero",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"\nlimit = \"5MiB\"",
            "sensor.toml:4:9:",
            "measure = \"bytes\"",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"\nshare = 1.5",
            "sensor.toml:4:9:",
            "at most 1",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"\nlimit = 1\nuser = \"[a\"",
            "sensor.toml:5:8:",
            "not a glob",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"\nlimit = 1\nseverity = \"urgent\"",
            "sensor.toml:5:12:",
            "critical",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"\nlimit = 1\n[[threshold]]\nname = \"a\"\nwindow = \"1m\"\nlimit = 2",
            "sensor.toml:6:8:",
            "taken",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"\nlimit = 1\n[[threshold.exception]]\nuser = \"b\"\nuntil = 2027-01-01",
            "sensor.toml:5:",
            "reason",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"10m\"\nlimit = 1\n[[threshold.exception]]\nreason = \"b\"\nuntil = 10:00:00",
            "sensor.toml:7:9:",
            "date",
        ),
        (
            "[export]\notlp_endpoint = \"localhost:4317\"",
            "sensor.toml:2:17:",
            "URL",
        ),
        (
            "[export]\notlp_protocol = \"udp\"",
            "sensor.toml:2:17:",
            "http/protobuf",
        ),
        (
            "[inventory]\npostgresql = \"nonsense\"",
            "sensor.toml:2:14:",
            "connection string",
        ),
        (
            "[tables]\n\"a.b.c.d\" = 5",
            "sensor.toml:2:13:",
            "size of a table",
        ),
        (
            "[[threshold]]\nname = \"a\"\nwindow = \"91d\"\nlimit = 1",
            "sensor.toml:3:10:",
            "allowed: 1s to 90d",
        ),
        (
            "[history]\npath = \"history.db\"",
            "sensor.toml:2:8:",
            "absolute path",
        ),
        (
            "[history]\nkeep_hours = \"2d\"\nkeep_minutes = \"3d\"",
            "sensor.toml:2:14:",
            "the coarser, the longer",
        ),
        (
            "[history]\nmax_size = \"5KiB\"",
            "sensor.toml:2:12:",
            "too small",
        ),
        ("[volumes]\nmax_keys = 1", "sensor.toml:2:12:", "allowed"),
        ("kernel = ", "sensor.toml:1:", "hint:"),
    ] {
        let message = parse(text).expect_err(text);
        assert!(
            message.starts_with(place),
            "expected {place} in:\n{message}"
        );
        assert!(message.contains(words), "expected {words} in:\n{message}");
        assert!(message.contains("hint: "), "{message}");
    }
}

#[test]
fn thresholds_say_what_they_mean() {
    let config = parse(
        r#"
        [[threshold]]
        name = "dump"
        user = ["*", "!backup*"]
        table = "customers"
        measure = "bytes"
        per = "statement"
        limit = "500MiB"
        [[threshold]]
        name = "share"
        window = "1h"
        share = 0.001
        [[threshold.exception]]
        user = "etl"
        reason = "hourly load"
        until = 2020-01-01T00:00:00+02:00
        "#,
    )
    .expect("valid");
    let dump = &config.thresholds[0];
    assert_eq!(dump.measure, Measure::Bytes);
    assert_eq!(dump.window, Window::Statement);
    assert_eq!(dump.limit, Limit::Absolute(500 << 20));
    assert!(dump.selector.user.matches("ann") && !dump.selector.user.matches("backup1"));
    assert!(dump.selector.table.matches_table("crm.Customers"));
    let share = &config.thresholds[1];
    assert_eq!(share.window, Window::Sliding(Duration::from_secs(3600)));
    assert_eq!(
        share.exceptions[0].until.to_string(),
        "2019-12-31T22:00:00.000Z"
    );
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn a_missing_file_is_a_clear_error() {
    let error = Config::load(Path::new("/nonexistent/sensor.toml"))
        .expect_err("missing")
        .to_string();
    assert!(
        error.contains("/nonexistent/sensor.toml") && error.contains("hint:"),
        "{error}"
    );
}

#[test]
fn an_identity_that_makes_no_sense_is_refused_with_a_reason() {
    for (line, what, hint) in [
        (
            "identity = [\"usr\"]",
            "`usr` can't tell principals apart",
            "allowed: user, role",
        ),
        (
            "identity = [\"user\", \"pid\"]",
            "`pid`",
            "each connection would be a principal",
        ),
        (
            "identity = [\"user\", \"database\"]",
            "`database`",
            "kept by database anyway",
        ),
        (
            "identity = [\"user\", \"role\", \"user\"]",
            "stands here twice",
            "leave one",
        ),
        ("identity = [\"role\"]", "lacks `user`", "add \"user\""),
        (
            "poolers = [\"pool.example\"]",
            "is no IP address",
            "10.1.2.3",
        ),
    ] {
        let text = format!("[principals]\n{line}\n");
        let error = Config::parse(&text, Path::new("sensor.toml"))
            .expect_err(line)
            .to_string();
        assert!(error.starts_with("sensor.toml:2:"), "{error}");
        assert!(error.contains(what) && error.contains(hint), "{error}");
    }
    let text = "[principals]\nidentity = [\"user\", \"program\"]\n";
    let config = Config::parse(text, Path::new("sensor.toml")).expect("valid");
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("whatever the client says"));
}

#[test]
fn sections_that_wait_for_the_next_start_are_named_when_they_change() {
    let before = parse("").expect("valid");
    for (text, section) in [
        ("[kernel]\nskim_after = \"never\"", "[kernel]"),
        ("[discover]\ninterval = \"2s\"", "[discover]"),
        ("[volumes]\nmax_keys = 100", "[volumes]"),
        ("[principals]\ntags = [\"user\"]", "[principals]"),
        ("[inventory]\ninterval = \"1m\"", "[inventory]"),
        ("[history]\nkeep_days = \"500d\"", "[history]"),
        ("[export.headers]\nauthorization = \"new\"", "[export]"),
        ("[console]\nenabled = false", "[console]"),
    ] {
        let after = parse(text).expect(text);
        assert_eq!(before.changed_until_restart(&after), [section], "{text}");
        assert!(after.changed_until_restart(&after).is_empty());
    }
    let secret = |text| parse(&format!("[export.headers]\na = \"{text}\"")).expect("valid");
    assert_eq!(
        secret("one").changed_until_restart(&secret("two")),
        ["[export]"]
    );
    let at_once = "[[threshold]]\nname = \"a\"\nwindow = \"1m\"\nlimit = 1\n[tables]\nt = 5\n[detection]\nalerts_per_day = 3";
    let after = parse(at_once).expect("valid");
    assert!(before.changed_until_restart(&after).is_empty());
}

#[test]
fn a_limit_that_could_match_nobody_is_refused() {
    let with = |fields: &str, rule: &str| {
        let text = format!(
            "[principals]\nidentity = [{fields}]\n[[threshold]]\nname = \"desk\"\nwindow = \"1m\"\nlimit = 1\n{rule}"
        );
        Config::parse(&text, Path::new("sensor.toml"))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let exception =
        "[[threshold.exception]]\nreason = \"b\"\nuntil = 2099-01-01\nos_user = \"cron\"";
    for (rule, field, place) in [
        ("os_user = \"www\"", "os_user", "sensor.toml:7:11:"),
        (
            "client_address = [\"10.*\"]",
            "client_address",
            "sensor.toml:7:18:",
        ),
        (exception, "os_user", "sensor.toml:10:11:"),
    ] {
        let error = with("\"user\"", rule).expect_err(rule);
        assert!(error.starts_with(place), "{error}");
        assert!(
            error.contains("threshold `desk`")
                && error.contains(&format!("add \"{field}\" to `identity` in [principals]")),
            "{error}"
        );
        with(&format!("\"user\", \"{field}\""), rule).expect("can match");
        with("\"user\"", "user = \"a*\"").expect("always part of it");
    }
}

/// Keys of a section, as the error of a wrong one names them.
fn keys(section: &str) -> Vec<String> {
    let error = parse(&format!("{section}\nq = 1")).expect_err("no such key");
    let hint = error.rsplit("the keys here are: ").next().expect("keys");
    hint.split(", ").map(|key| key.trim().to_owned()).collect()
}

#[test]
fn the_example_shows_every_key() {
    let lines: Vec<&str> = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .collect();
    let is_header = |line: &str| line.starts_with('[') && line.ends_with(']');
    for section in [
        "[kernel]",
        "[discover]",
        "[volumes]",
        "[principals]",
        "[[threshold]]",
        "[inventory]",
        "[detection]",
        "[history]",
        "[export]",
        "[export.prometheus]",
        "[export.traces]",
        "[export.records]",
        "[export.queue]",
        "[console]",
    ] {
        let at = lines.iter().position(|line| *line == section);
        let at = at.unwrap_or_else(|| panic!("no {section} in the example"));
        let own = lines[at + 1..].iter().take_while(|line| !is_header(line));
        let own: Vec<&str> = own.copied().collect();
        let name = section.trim_matches(['[', ']']);
        for key in keys(section) {
            let header = |line: &str| line.trim_matches(['[', ']']) == format!("{name}.{key}");
            let is_there = own.iter().any(|line| line.starts_with(&format!("{key} = ")))
                || lines.iter().any(|line| is_header(line) && header(line))
                // Selectors are listed above their section, and alternatives stand behind what they stand for.
                || section == "[[threshold]]" && EXAMPLE.contains(&format!("{key} "));
            assert!(is_there, "{section} lacks {key}");
        }
    }
}
