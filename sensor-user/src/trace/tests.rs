use super::*;
use crate::{
    principal::{ClientAddress, ConnectionId, DbSystem, Session},
    sql::Shape,
};

struct Bench {
    tracer: Tracer,
    shapes: Shapes,
    principal: Arc<Principal>,
    time: u64,
    /// Of the statements that follow.
    sqlstate: u32,
    link: u8,
}

const SECOND: u64 = 1_000_000_000;

impl Bench {
    fn new(budget: usize) -> Self {
        Self {
            tracer: Tracer::new(budget, 7),
            shapes: Shapes::new(100),
            principal: Arc::new(Principal {
                system: DbSystem::PostgreSql,
                server: "15/main:5432".into(),
                server_port: 5432,
                user: Some("ann".into()),
                client: ClientAddress::Ip([10, 1, 2, 3].into()),
                os_user: None,
                login_user: None,
                ..Principal::default()
            }),
            time: 100 * SECOND,
            sqlstate: 0,
            link: 0,
        }
    }

    fn access(&mut self, connection: u64, rows: u64, queries: u64, kind: AccessKind) {
        let whole = (queries > 0).then_some(rows);
        self.part(connection, 5, (rows, queries), kind, whole);
    }

    /// A record of a statement with some fingerprint; `whole`: rows of all of it, if it ends with this.
    fn part(
        &mut self,
        connection: u64,
        fingerprint: u64,
        (rows, queries): (u64, u64),
        kind: AccessKind,
        whole: Option<u64>,
    ) {
        let session = Session::for_tests(ConnectionId(connection), PrincipalId(0), "crm");
        let started = Timestamp(self.time);
        self.time += 1000;
        self.tracer.observe(
            &Access {
                time: Timestamp(self.time),
                started,
                principal: PrincipalId(0),
                session: &session,
                shape_id: 0,
                shape: &Shape::default(),
                volume: Volume {
                    rows_returned: rows,
                    queries,
                    ..Volume::default()
                },
                kind,
                largest: None,
                picked: None,
            },
            &self.principal,
            Detail {
                fingerprint,
                whole: whole.map(|rows_returned| Volume {
                    rows_returned,
                    queries,
                    ..Volume::default()
                }),
                sqlstate: self.sqlstate,
                link: self.link,
            },
        );
    }

    fn statement(&mut self, connection: u64, rows: u64) {
        self.access(connection, rows, 1, AccessKind::Completed);
    }

    fn take(&mut self) -> Spans {
        self.time += 2 * SECOND;
        self.tracer.take(Timestamp(self.time), &self.shapes)
    }

    /// Of statements that are linked, the last byte of the application's span.
    fn linked(&mut self) -> Vec<u8> {
        let statements = self.take().statements.into_iter();
        statements
            .filter_map(|span| span.application)
            .map(|context| context.span[7])
            .collect()
    }

    fn alert(&self, id: &str, connection: u64) -> Alert {
        let mut alert = crate::export::AlertRecord::for_tests(id).alert;
        alert.connection = ConnectionId(connection);
        alert.statements[0].shape_id = 0;
        alert
    }
}

fn rows(spans: &Spans) -> Vec<u64> {
    spans
        .statements
        .iter()
        .map(|span| span.volume.rows_returned)
        .collect()
}

#[test]
fn the_largest_and_the_failing_are_told_and_of_the_rest_a_fair_part() {
    let mut bench = Bench::new(10);
    for rows in 1..=1000 {
        bench.statement(1, rows);
    }
    bench.access(1, 0, 1, AccessKind::Failed { estimated_rows: 0 });
    let spans = bench.take();
    let of = |reason: &Reason| {
        let spans = spans.statements.iter();
        spans.filter(|span| span.reason == *reason).count()
    };
    assert_eq!((of(&Reason::Largest), of(&Reason::Failed)), (3, 1));
    assert_eq!(rows(&spans)[1..4], [1000, 999, 998]);
    // By chance 10 of those 997 that are neither large nor failed: each stands for 99.7.
    assert_eq!(of(&Reason::Chance(10.0 / 997.0)), 10);
    let counts = bench.tracer.counts;
    assert_eq!((counts.chance, counts.left_out), (10, 1001 - 14));
}

#[test]
fn each_statement_has_the_same_chance() {
    let mut chosen = [0_u32; 20];
    let mut bench = Bench::new(4);
    for _ in 0..5000 {
        for statement in 1..=20 {
            // Nothing returned: none is large. The time says which it was.
            bench.access(statement, 0, 1, AccessKind::Completed);
        }
        for span in bench.take().statements {
            let place = usize::try_from(span.session.connection.0 - 1).expect("small");
            chosen[place] += 1;
        }
    }
    // 5000 × 4 / 20 = 1000 each, standard deviation 28.
    for count in chosen {
        assert!((850..1150).contains(&count), "{chosen:?}");
    }
}

#[test]
fn a_session_is_a_trace_and_told_when_something_of_it_was() {
    let mut bench = Bench::new(10);
    bench.statement(1, 5);
    bench.statement(2, 5);
    let spans = bench.take();
    let [first, second] = &*spans.statements else {
        panic!("two spans: {spans:?}");
    };
    assert_ne!(first.context.trace, second.context.trace);
    assert!(first.started < first.ended && first.started.0 >= 100 * SECOND);
    assert!(spans.sessions.is_empty(), "they are open");
    bench.tracer.closed(1, Timestamp(bench.time));
    bench.time += 10 * SECOND;
    let ended = bench.take();
    let [session] = &*ended.sessions else {
        panic!("one ended: {ended:?}");
    };
    let of = [first, second]
        .into_iter()
        .find(|span| span.session.connection.0 == 1)
        .expect("its statement");
    assert_eq!(session.context, of.parent);
    assert_eq!(
        (session.volume.queries, session.volume.rows_returned),
        (1, 5)
    );
    let at_end = bench.tracer.finish(Timestamp(bench.time), &bench.shapes);
    assert_eq!(at_end.sessions.len(), 1);
}

#[test]
fn a_long_session_goes_on_in_another_trace() {
    let mut bench = Bench::new(10);
    bench.statement(1, 5);
    let first = bench.take().statements.remove(0);
    bench.time += 3600 * SECOND;
    let part = bench.take().sessions.remove(0);
    assert_eq!(part.context, first.parent);
    bench.statement(1, 6);
    let second = bench.take().statements.remove(0);
    assert_ne!(second.context.trace, first.context.trace);
    let end = bench.tracer.finish(Timestamp(bench.time), &bench.shapes);
    assert_eq!(end.sessions[0].previous, Some(first.parent));
    assert_eq!(end.sessions[0].volume.rows_returned, 6);
}

#[test]
fn statements_of_an_alert_are_told_once_with_its_id() {
    let mut bench = Bench::new(1);
    for _ in 0..40 {
        bench.statement(1, 100);
    }
    let alert = bench.alert("A1", 1);
    let of_alert = bench.tracer.alerted(&alert).expect("somebody is told");
    assert_eq!((of_alert.told, of_alert.left_out), (40, 0));
    assert_eq!(of_alert.since, None, "all are remembered");
    let session = of_alert.session.expect("it is known");
    let spans = bench.take();
    assert_eq!(spans.statements.len(), 40, "each once");
    for span in &spans.statements {
        assert_eq!(span.reason, Reason::Alert("A1".into()));
        assert_eq!(span.parent, session);
    }
    // The one under way is told when it ends.
    let streaming = AccessKind::Streaming { estimated_rows: 9 };
    bench.part(1, 7, (70, 0), streaming, None);
    bench.tracer.alerted(&bench.alert("A2", 1));
    // A small one before it is told after its first rows.
    bench.part(1, 5, (2, 1), AccessKind::Completed, Some(2));
    bench.part(1, 7, (30, 1), AccessKind::Completed, Some(100));
    let spans = bench.take();
    let told = |rows: u64| {
        let mut spans = spans.statements.iter();
        let span = spans.find(|span| span.volume.rows_returned == rows);
        span.map(|span| span.reason.clone())
    };
    assert_eq!(told(100), Some(Reason::Alert("A2".into())));
    assert_eq!(told(2), Some(Reason::Largest));
}

#[test]
fn without_a_budget_nothing_is_told_or_remembered() {
    let mut bench = Bench::new(0);
    bench.statement(1, 100);
    assert_eq!(bench.tracer.alerted(&bench.alert("A", 1)), None);
    assert!(bench.take().statements.is_empty());
    assert!(bench.tracer.trails.is_empty() && bench.tracer.recent.is_empty());
}

#[test]
fn an_applications_trace_is_linked_once() {
    let mut bench = Bench::new(1);
    let comment =
        "SELECT 1 /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/";
    bench.tracer.text(1, 5, comment.as_bytes());
    for _ in 0..3 {
        bench.statement(2, 0);
        bench.statement(1, 0);
    }
    let spans = bench.take();
    let linked: Vec<_> = spans
        .statements
        .iter()
        .filter(|span| span.application.is_some())
        .collect();
    assert_eq!(linked.len(), 1, "{spans:?}");
    assert_eq!(linked[0].reason, Reason::Application);
    assert_eq!(linked[0].session.connection.0, 1);
}

#[test]
fn what_an_alert_leaves_out_is_counted() {
    let mut bench = Bench::new(1);
    for _ in 0..OF_ALERT {
        bench.access(1, 10, 5, AccessKind::Completed);
    }
    for _ in 0..30 {
        bench.statement(1, 1);
    }
    let of_alert = bench.tracer.alerted(&bench.alert("A1", 1)).expect("told");
    // The largest are told, of five statements each.
    assert_eq!((of_alert.told, of_alert.left_out), (500, 30));
    assert_eq!(bench.take().statements.len(), OF_ALERT);
    // A session that is over is told of no more, and no other statement is counted twice.
    bench.statement(2, 1);
    bench.tracer.closed(2, Timestamp(bench.time));
    bench.time += 10 * SECOND;
    bench.take();
    bench.statement(2, 1);
    bench.tracer.closed(2, Timestamp(bench.time));
    // More than are remembered.
    let mut alert = bench.alert("A2", 1);
    alert.since = Timestamp(0);
    for _ in 0..RECENT {
        bench.statement(1, 1);
    }
    let of_alert = bench.tracer.alerted(&alert).expect("told");
    let all = RECENT as u64;
    assert_eq!((of_alert.told, of_alert.left_out), (100, all - 100));
    assert!(of_alert.since.is_some_and(|since| since > alert.since));
}

const PARENT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn each_execution_has_the_link_of_its_number() {
    let mut bench = Bench::new(1000);
    let parent = |number: u8| {
        let mut parent = PARENT.to_vec();
        parent[50..52].copy_from_slice(format!("{number:02x}").as_bytes());
        parent
    };
    // All asked, then all answered; two are never executed, and one text is of two statements.
    for number in 1..=9 {
        bench.tracer.link(1, number, 5, &parent(number));
        bench.tracer.link(2, number, 5, &parent(100 + number));
    }
    for number in [1, 2, 4, 4, 7, 8, 9] {
        bench.link = number;
        bench.statement(1, 0);
        bench.link = 0;
        bench.statement(1, 0);
    }
    assert_eq!(bench.linked(), [1, 2, 4, 4, 7, 8, 9]);
    assert_eq!(bench.tracer.lost_links(), 0);
    // The number comes again, with another link.
    bench.tracer.link(1, 3, 5, &parent(77));
    // A statement that is not the one it came with.
    bench.tracer.link(1, 4, 6, &parent(78));
    for number in [3, 4, 5, 99] {
        bench.link = number;
        bench.statement(1, 0);
    }
    assert_eq!(bench.linked(), [77, 5]);
    assert_eq!(bench.tracer.lost_links(), 2);
}

#[test]
fn an_error_is_told_with_its_code() {
    let mut bench = Bench::new(10);
    for sqlstate in ["42P01", "23505"] {
        let word = sqlstate.bytes().rev();
        bench.sqlstate = sqlstate::pack(word.fold(0, |word, byte| word << 8 | u64::from(byte)));
        bench.access(1, 0, 1, AccessKind::Failed { estimated_rows: 0 });
    }
    bench.sqlstate = 0;
    bench.access(1, 0, 1, AccessKind::Failed { estimated_rows: 0 });
    bench.statement(1, 1);
    let spans = bench.take().statements;
    let codes: Vec<_> = spans
        .iter()
        .map(|span| (span.failed, span.sqlstate))
        .collect();
    assert_eq!(
        codes,
        [
            (true, Some(*b"42P01")),
            (true, Some(*b"23505")),
            (true, None),
            (false, None)
        ]
    );
}
