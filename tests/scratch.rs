//! Temporary.
use harness::{
    Options, Postgres,
    clients::{Client, SCHEMA, role},
    relay::Relay,
    statements,
};
#[test]
fn clients_agree_with_the_server() {
    let server = Postgres::start(&Options::default());
    server.sql("postgres", "CREATE DATABASE exact");
    server.sql("exact", SCHEMA);
    let only = std::env::var("ONLY").unwrap_or_default();
    for (t, e) in [("unix", server.unix()), ("ipv6", server.ipv6())] {
        for c in Client::ALL {
            if !only.is_empty() && c.name() != only || c == Client::Jdbc && t == "unix" {
                continue;
            }
            let r = format!("{}_{t}", c.name());
            server.sql("exact", &role(&r));
            let relay = Relay::start(&e);
            let started = std::time::Instant::now();
            let counted = c.run(relay.endpoint(), &r, "exact");
            let took = started.elapsed();
            let bytes = relay.finish();
            let s = statements(&server, "exact", &r);
            let ok = counted.as_server(server.version()) == (s.calls, s.rows);
            eprintln!(
                "{r} {took:?} {bytes:?} {counted:?}\n   client {:?} server {:?} {}",
                counted.as_server(server.version()),
                (s.calls, s.rows),
                if ok { "OK" } else { "DIFF" }
            );
            if !ok {
                eprintln!("{:#?}", s.by_text);
            }
        }
    }
}
