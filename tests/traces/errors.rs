//! Why statements failed.

use std::{collections::BTreeMap, path::Path};

use harness::{
    raw::{bind, execute, extended, parse, sync},
    wait_until,
};

use super::{
    scene::Scene,
    spans::{attribute, is, spans},
};

/// Of a user's statements that failed, summary and code; all else has none.
fn codes(file: &Path, user: &str) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    for span in spans(file) {
        if !is(&span, "user.name", user) || span["parentSpanId"].as_str().is_none_or(str::is_empty)
        {
            continue;
        }
        let (kind, code) = (
            attribute(&span, "error.type"),
            attribute(&span, "db.response.status_code"),
        );
        assert_eq!(kind, code, "{span:#}");
        assert_eq!(kind.is_some(), span["status"]["code"] == 2, "{span:#}");
        if let Some(code) = code {
            let summary = attribute(&span, "db.query.summary").unwrap_or_default();
            *found.entry((summary, code)).or_default() += 1;
        }
    }
    found
}

#[test]
fn a_failed_statements_span_has_its_sqlstate() {
    let mut scene = Scene::begin_with(
        "CREATE TABLE keys (id int PRIMARY KEY); INSERT INTO keys VALUES (1); GRANT ALL ON keys TO PUBLIC",
        "spans_per_second = 1000\n",
    );
    const INSERT: &str = "INSERT INTO keys VALUES (1)";
    const DIVIDE: &str = "SELECT 1 / (id - 1) FROM keys";
    const MISSING: &str = "SELECT id FROM missing";

    // Simple queries, in whatever language the server speaks of it.
    let mut ann = scene.session("ann");
    for (text, code) in [(INSERT, "23505"), (DIVIDE, "22012"), (MISSING, "42P01")] {
        assert_eq!(ann.query(text).errors, [code]);
    }
    // Of equal ones one that fails is told apart from those that do not.
    for id in [5, 1, 6] {
        let answer = ann.query(&format!("SELECT 10 / (id - {id}) FROM keys"));
        assert_eq!(answer.errors.is_empty(), id != 1);
    }
    // In the middle of a result.
    let answer = ann.query("SELECT 1 / (4000 - id) FROM items");
    assert_eq!(answer.errors, ["22012"]);
    assert!(answer.rows > 1000);
    // A timeout, and what the server's end of the connection says.
    ann.query("SET statement_timeout = '50ms'");
    assert_eq!(ann.query("SELECT pg_sleep(10)").errors, ["57014"]);
    ann.terminate();

    // Pipelines: after an error the server discards what follows, up to the next Sync.
    let mut bob = scene.session("bob");
    let discarded = extended("SELECT id AS discarded FROM items", &[]);
    bob.send(
        &[
            extended("SELECT id FROM keys", &[]),
            extended(INSERT, &[]),
            discarded.clone(),
            sync(),
            extended("SELECT 1 / ($1::int - 1)", &["1"]),
            discarded,
            sync(),
            parse("named", MISSING),
            sync(),
            parse("named", "SELECT 7 / $1::int"),
            bind("", "named", &["7"]),
            execute("", 0),
            bind("", "named", &["0"]),
            execute("", 0),
            sync(),
        ]
        .concat(),
    );
    let answers = bob.answers(4);
    let errors: Vec<_> = answers.iter().map(|answer| &*answer.errors).collect();
    assert_eq!(errors, [["23505"], ["22012"], ["42P01"], ["22012"]]);
    bob.terminate();

    wait_until("both sessions' spans", || {
        scene.ended("ann") && scene.ended("bob")
    });
    scene.stop();
    let expected = |list: &[(&str, &str, usize)]| -> BTreeMap<(String, String), usize> {
        list.iter()
            .map(|(summary, code, count)| ((summary.to_string(), code.to_string()), *count))
            .collect()
    };
    assert_eq!(
        codes(scene.file(), "ann"),
        expected(&[
            ("INSERT keys", "23505", 1),
            ("SELECT keys", "22012", 2),
            ("SELECT missing", "42P01", 1),
            ("SELECT items", "22012", 1),
            ("SELECT", "57014", 1),
        ])
    );
    // What could not be parsed was never executed, so that nothing says which statement it was.
    assert_eq!(
        codes(scene.file(), "bob"),
        expected(&[
            ("INSERT keys", "23505", 1),
            ("SELECT", "22012", 2),
            ("unknown statement", "42P01", 1),
        ])
    );
}
