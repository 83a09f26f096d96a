use super::*;

fn one(sql: &str) -> Shape {
    let mut shapes = analyse(sql.as_bytes(), false, false);
    assert_eq!(shapes.len(), 1, "{sql}");
    shapes.remove(0)
}

#[test]
fn tables_and_operations() {
    for (sql, operation, tables) in [
        (
            "SELECT * FROM customers WHERE id = 5",
            "SELECT",
            "customers",
        ),
        (
            "select a from `Customers` c, tickets t where t.c = c.id",
            "SELECT",
            "Customers tickets",
        ),
        (
            "SELECT * FROM crm.`it's` JOIN b USING (x) LEFT JOIN c ON 1",
            "SELECT",
            "crm.it's b c",
        ),
        (
            "SELECT /*!40001 SQL_NO_CACHE */ * FROM `customers`",
            "SELECT",
            "customers",
        ),
        (
            "INSERT INTO t (a, b) VALUES (1, 'x'), (2, \"y\")",
            "INSERT",
            "t",
        ),
        (
            "INSERT INTO t SELECT a FROM u ON DUPLICATE KEY UPDATE a = 1",
            "INSERT",
            "t u",
        ),
        ("REPLACE INTO t VALUES (1)", "REPLACE", "t"),
        ("UPDATE LOW_PRIORITY t SET a = 1 WHERE b = 2", "UPDATE", "t"),
        (
            "DELETE FROM t WHERE a IN (SELECT b FROM u)",
            "DELETE",
            "t u",
        ),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE t", "LOAD", "t"),
        ("SELECT a INTO OUTFILE '/tmp/x' FROM t", "SELECT", "t"),
        ("SELECT a INTO @v FROM t", "SELECT", "t"),
        ("SELECT a FROM t FOR UPDATE", "SELECT", "t"),
        ("WITH x AS (SELECT * FROM t) SELECT * FROM x", "SELECT", "t"),
        ("TABLE customers", "SELECT", "customers"),
        ("(SELECT a FROM t) UNION SELECT b FROM u", "SELECT", "t u"),
        (
            "DELETE LOW_PRIORITY QUICK FROM t WHERE a = 1",
            "DELETE",
            "t",
        ),
        ("UPDATE IGNORE t SET a = 1", "UPDATE", "t"),
        ("TRUNCATE TABLE t", "TRUNCATE", "t"),
        ("CREATE TABLE t (a INT)", "CREATE TABLE", "t"),
        ("SHOW COLUMNS FROM t", "SHOW", ""),
        ("SELECT 1", "SELECT", ""),
    ] {
        let shape = one(sql);
        assert_eq!(&*shape.operation, operation, "{sql}");
        assert_eq!(shape.tables.join(" "), tables, "{sql}");
    }
}

#[test]
fn no_literal_passes() {
    let secrets = [
        "'secret'",
        "\"secret\"",
        "'it\\'s secret'",
        "\"it\\\"s secret\"",
        "'a''secret'",
        "x'secret'",
        "_utf8'secret'",
        "4711",
        "0x4711",
        "1e4711",
        "-4711.4711",
        "'\\\\', 'secret'",
        "/* secret */ 1",
        "1 -- secret\n",
        "1 # 'secret\n",
    ];
    for secret in secrets {
        for sql in [
            format!("SELECT a FROM t WHERE b = {secret} AND c > 7"),
            format!("INSERT INTO t VALUES ({secret}, {secret})"),
            format!("SET @a = {secret}"),
            format!("SELECT {secret}"),
            format!("CALL p({secret})"),
            format!("SELECT a FROM t WHERE b LIKE {secret}"),
        ] {
            for cut in 0..=sql.len() {
                let truncated = cut < sql.len();
                for shape in analyse(&sql.as_bytes()[..cut], truncated, false) {
                    let all = format!("{shape:?}");
                    assert!(
                        !all.contains("secret") && !all.contains("4711"),
                        "{sql}: {all}"
                    );
                }
            }
        }
    }
    // Where a backslash is no escape.
    let shapes = analyse(br"SELECT '\', a FROM t WHERE b = 'secret'", false, true);
    assert_eq!(&*shapes[0].text, "SELECT ?, a FROM t WHERE b = ?");
    assert_eq!(
        &*one("CREATE USER a IDENTIFIED BY 'secret'").text,
        "CREATE USER a IDENTIFIED BY ?"
    );
}

#[test]
fn texts_of_both_protocols_are_one() {
    assert_eq!(
        one("SELECT a FROM t WHERE b IN (?, ?, ?) AND c = ?"),
        one("SELECT a FROM t WHERE b IN (1, 'x') AND c = -5")
    );
}

#[test]
fn several_statements_and_none() {
    let shapes = analyse(b"SELECT 1 FROM a; DELETE FROM b;", false, false);
    assert_eq!(shapes.len(), 2);
    assert_eq!(&*shapes[1].operation, "DELETE");
    assert_eq!(analyse(b"", false, false).len(), 1);
    assert_eq!(&*one("hunter2").text, "");
}

#[test]
fn a_change_of_database_is_known() {
    for (sql, database) in [
        ("USE crm", "crm"),
        ("use `crm`;", "crm"),
        ("USE my-db", "my-db"),
        ("Use  crm ", "crm"),
    ] {
        assert_eq!(uses(&one(sql)).as_deref(), Some(database), "{sql}");
    }
    assert_eq!(uses(&one("SELECT 1")), None);
    // However long the name is when it can be shown, a summary has a longest.
    let odd = one(&format!("USE {}", "\u{1}".repeat(64)));
    assert!(uses(&odd).is_some_and(|name| name.len() > LONGEST_SUMMARY));
    assert_eq!(&*odd.summary, "USE");
}

#[test]
fn ways_out_are_told() {
    for (sql, route, destination) in [
        (
            "SELECT * FROM t INTO OUTFILE '/tmp/x'",
            EgressRoute::CopyToFile,
            "/tmp/x",
        ),
        (
            "SELECT a INTO DUMPFILE \"/tmp/x\" FROM t",
            EgressRoute::CopyToFile,
            "",
        ),
        (
            "SELECT LOAD_FILE('/etc/passwd')",
            EgressRoute::ServerFileRead,
            "/etc/passwd",
        ),
        (
            "LOAD DATA INFILE '/tmp/x' INTO TABLE t",
            EgressRoute::ServerFileRead,
            "/tmp/x",
        ),
        (
            "CREATE TABLE t (a INT) ENGINE=FEDERATED CONNECTION='mysql://x'",
            EgressRoute::RemoteServer,
            "",
        ),
    ] {
        let egress = one(sql).egress;
        assert_eq!(
            egress.map(|egress| (egress.route, egress.destination)),
            Some((route, destination.into())),
            "{sql}"
        );
    }
    assert_eq!(one("LOAD DATA LOCAL INFILE 'x' INTO TABLE t").egress, None);
}
