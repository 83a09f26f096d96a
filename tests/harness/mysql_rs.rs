//! mysql_async: text and prepared statements, several statements and results, rows as they stream, batches, errors, a transaction,
//! and a pool of connections.

use futures_util::{StreamExt as _, future};
use mysql_async::{
    Conn, Error, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, QueryResult, Row, TxOpts,
    prelude::{Protocol, Queryable},
};

use crate::{Volume, clients::Endpoint};

/// Connections of the pool.
const POOL: usize = 4;
/// Tasks that share them, and look-ups of each.
const TASKS: u32 = 40;
const LOOKUPS: u32 = 25;

/// What it calls itself.
pub const NAME: &str = "ledger";

/// Runs its workload in a database with the table `items` and the procedure `two_results`; what it counted.
///
/// # Panics
/// When a statement fails.
pub fn run(endpoint: &Endpoint, user: &str, password: Option<String>, database: &str) -> Volume {
    let mut options = OptsBuilder::default()
        .user(Some(user))
        .pass(password)
        .db_name(Some(database))
        // What it would ask for by itself.
        .prefer_socket(false)
        .max_allowed_packet(Some(16 << 20))
        .wait_timeout(Some(600))
        .connect_attribute("program_name", NAME);
    options = if endpoint.host.starts_with('/') {
        options.socket(Some(&endpoint.host))
    } else {
        options
            .ip_or_hostname(&endpoint.host)
            .tcp_port(endpoint.port)
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(workload(options))
        .unwrap_or_else(|error| panic!("mysql_async as {user}: {error:?}"))
}

async fn workload(options: OptsBuilder) -> Result<Volume, Error> {
    let mut counted = Volume::default();
    let mut connection = Conn::new(Opts::from(options.clone())).await?;
    texts(&mut connection, &mut counted).await?;
    prepared(&mut connection, &mut counted).await?;
    written(&mut connection, &mut counted).await?;
    streamed(&mut connection, &mut counted).await?;
    connection.disconnect().await?;
    counted += pooled(options).await?;
    Ok(counted)
}

/// All rows of all results.
async fn rows<P: Protocol>(mut result: QueryResult<'_, '_, P>) -> Result<u64, Error> {
    let mut rows = 0;
    while !result.is_empty() {
        result.for_each(|_| rows += 1).await?;
    }
    Ok(rows)
}

async fn texts(connection: &mut Conn, counted: &mut Volume) -> Result<(), Error> {
    for (queries, text) in [
        (1, "SELECT id, name FROM items WHERE id <= 100"),
        (1, "SELECT * FROM items WHERE FALSE"),
        (
            4,
            "SELECT 1; SELECT id FROM items WHERE id < 5; DO 0; SELECT id, name FROM items WHERE id < 3000",
        ),
        // Results of a procedure are one statement's.
        (1, "CALL two_results()"),
    ] {
        counted.queries += queries;
        counted.rows_returned += rows(connection.query_iter(text).await?).await?;
    }
    for text in ["SELECT nothing FROM nowhere", "SELECT 'not closed"] {
        counted.queries += 1;
        let error = connection.query_drop(text).await;
        assert!(matches!(error, Err(Error::Server(_))), "{text}: {error:?}");
    }
    Ok(())
}

async fn prepared(connection: &mut Conn, counted: &mut Volume) -> Result<(), Error> {
    // Prepared once and executed often: MariaDB describes the columns of the first result only.
    for i in 0..200 {
        counted.queries += 2;
        let found = connection.exec_iter("SELECT name FROM items WHERE id = ?", (i,));
        counted.rows_returned += rows(found.await?).await?;
        let text = "SELECT id, name, payload FROM items WHERE id <= ? AND name <> ?";
        let found = connection.exec_iter(text, (i, "x"));
        counted.rows_returned += rows(found.await?).await?;
    }
    let all: Vec<Row> = connection
        .exec("SELECT * FROM items WHERE id > ?", (0,))
        .await?;
    counted.queries += 1;
    counted.rows_returned += all.len() as u64;
    // What can't be prepared is a query that failed.
    counted.queries += 1;
    let error = connection.prep("SELECT nothing FROM nowhere").await;
    assert!(matches!(error, Err(Error::Server(_))), "{error:?}");
    Ok(())
}

async fn written(connection: &mut Conn, counted: &mut Volume) -> Result<(), Error> {
    connection
        .query_drop("CREATE TEMPORARY TABLE work (id INT, name LONGTEXT)")
        .await?;
    counted.queries += 1;
    let mut transaction = connection.start_transaction(TxOpts::default()).await?;
    let insert = "INSERT INTO work VALUES (?, ?)";
    for i in 0..50 {
        transaction.exec_drop(insert, (i, "a")).await?;
        counted.rows_written += transaction.affected_rows();
    }
    transaction.commit().await?;
    // With its START TRANSACTION and COMMIT.
    counted.queries += 52;
    let long = "x".repeat(300_000);
    connection.exec_drop(insert, (1, &long)).await?;
    counted.rows_written += connection.affected_rows();
    connection
        .query_drop("DELETE FROM work WHERE id < 20")
        .await?;
    counted.rows_written += connection.affected_rows();
    counted.queries += 2;
    Ok(())
}

async fn streamed(connection: &mut Conn, counted: &mut Volume) -> Result<(), Error> {
    let text = "SELECT a.id, a.name FROM items a, items b WHERE b.id <= 20";
    let mut stream = connection.query_stream::<(u32, String), _>(text).await?;
    while let Some(row) = stream.next().await {
        row?;
        counted.rows_returned += 1;
    }
    drop(stream);
    let text = "SELECT id, payload FROM items WHERE id <= ?";
    let parameters = (3000,);
    let mut stream = connection
        .exec_stream::<(u32, String), _, _>(text, parameters)
        .await?;
    while let Some(row) = stream.next().await {
        row?;
        counted.rows_returned += 1;
    }
    drop(stream);
    counted.queries += 2;
    Ok(())
}

/// Connections are reset when they are given back, and used again.
async fn pooled(options: OptsBuilder) -> Result<Volume, Error> {
    let constraints = PoolConstraints::new(POOL, POOL).expect("as many as there may be");
    let pool = Pool::new(options.pool_opts(PoolOpts::default().with_constraints(constraints)));
    let tasks = (0..TASKS).map(|task| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let mut counted = Volume::default();
            for i in 0..LOOKUPS {
                let mut connection = pool.get_conn().await?;
                let text = format!("SELECT id FROM items WHERE id <= {i}");
                let found: Vec<u32> = connection.query(text).await?;
                let text = "SELECT id, name FROM items WHERE id <= ?";
                let more: Vec<(u32, String)> = connection.exec(text, (task,)).await?;
                counted.queries += 2;
                counted.rows_returned += (found.len() + more.len()) as u64;
            }
            Ok::<_, Error>(counted)
        })
    });
    let mut counted = Volume::default();
    for task in future::join_all(tasks).await {
        counted += task.expect("a task")?;
    }
    pool.disconnect().await?;
    Ok(counted)
}
