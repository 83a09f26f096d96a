//! An application that all people use through one database user: who asks stands in its statements' comments.

use std::collections::BTreeMap;

use harness::{
    Options, Turn, is_lowest_rung,
    raw::{self, Raw},
};

use crate::scene::{Scene, attribute, rows_by, rows_by_text, who_reads};

const PEOPLE: [&str; 4] = ["ann", "bob", "Carla%20D%C3%ADaz", ""];

/// What the sensor shows for one of them, where it looks into comments.
fn shown(person: &str, looks: bool) -> String {
    match person {
        _ if !looks => String::new(),
        "" => String::new(),
        "Carla%20D%C3%ADaz" => "user=Carla Díaz".to_owned(),
        person => format!("user={person}"),
    }
}

/// A statement as somebody's.
fn asked_by(person: &str, text: &str) -> String {
    if person.is_empty() {
        return format!("{text} /*application='desk',route='%2Fx'*/");
    }
    format!("{text} /*application='desk',route='%2Fx',user='{person}'*/")
}

/// One connection, on which all people ask in turns and at once, in equal words, by all ways that there are.
#[test]
fn rows_go_to_whom_the_comment_names() {
    let turn = Turn::take();
    // The lowest rung's programs have no room for it; then all are the application.
    let looks = !is_lowest_rung(&turn);
    let scene = Scene::with(
        turn,
        Scene::server(&Options::default()),
        "[principals]\ntags = [\"user\"]\n[[threshold]]\nname = \"desk\"\nmeasure = \"rows\"\nwindow = \"1m\"\nlimit = 4000",
    );
    let mut truth = BTreeMap::new();
    let mut count =
        |person: &str, rows: u64| *truth.entry(shown(person, looks)).or_insert(0) += rows;
    let mut client = Raw::start(&scene.server.unix(), "owner", "desk");
    // Added up in the kernel, were they one's.
    for round in 0..40 {
        let person = PEOPLE[round % PEOPLE.len()];
        client.send(&raw::query(&asked_by(person, &who_reads(3))));
        client.answers(1);
        count(person, 3);
    }
    // Unnamed statements, one at a time and all before the first is answered.
    for person in PEOPLE.repeat(3) {
        client.send(
            &[
                raw::extended(&asked_by(person, &who_reads(5)), &[]),
                raw::sync(),
            ]
            .concat(),
        );
        client.answers(1);
        count(person, 5);
    }
    let mut pipeline = Vec::new();
    for person in PEOPLE.repeat(25) {
        pipeline.extend(raw::extended(&asked_by(person, &who_reads(2)), &[]));
        count(person, 2);
    }
    client.send(&[pipeline, raw::sync()].concat());
    client.answers(1);
    // Prepared first, executed in another order.
    for (at, person) in PEOPLE.iter().enumerate() {
        client.send(
            &[
                raw::parse(&format!("s{at}"), &asked_by(person, &who_reads(7))),
                raw::sync(),
            ]
            .concat(),
        );
        client.answers(1);
    }
    for at in [2, 0, 3, 1, 0, 0, 2, 1] {
        client.send(
            &[
                raw::bind("", &format!("s{at}"), &[]),
                raw::execute("", 0),
                raw::sync(),
            ]
            .concat(),
        );
        client.answers(1);
        count(PEOPLE[at], 7);
    }
    // A dump: told of while it streams, as the person's.
    let mut rows = BTreeMap::new();
    client.send(&raw::query(&asked_by(
        "bob",
        "SELECT a.name FROM items a, generate_series(1, 3) LIMIT 5000",
    )));
    rows_by_text(&mut client, 1, &mut rows);
    count("bob", rows.values().sum());
    client.terminate();
    let output = scene.finish();
    let got: BTreeMap<String, u64> = rows_by(&output, &["data_access.tags"])
        .into_iter()
        .map(|(who, rows)| (who[0].clone(), rows))
        .collect();
    assert_eq!(got, truth, "sensor | applications' own word");
    let alerts = output.alerts();
    let [alert] = alerts.as_slice() else {
        panic!("expected one alert, got {alerts:#?}");
    };
    assert_eq!(
        attribute(&alert.attributes, "data_access.tags"),
        shown("bob", looks)
    );
    assert_eq!(attribute(&alert.attributes, "user.name"), "owner");
}
