//! tokio-postgres: pipelined queries, portals with a row limit, COPY, statements of all kinds.

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt, future};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::clients::{Counted, Endpoint};

pub(crate) fn run(endpoint: &Endpoint, user: &str, database: &str) -> Counted {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(workload(endpoint, user, database))
        .unwrap_or_else(|error| panic!("tokio-postgres as {user}: {error:?}"))
}

async fn workload(
    endpoint: &Endpoint,
    user: &str,
    database: &str,
) -> Result<Counted, tokio_postgres::Error> {
    let mut counted = Counted::default();
    let (mut client, connection) = Config::new()
        .host(&endpoint.host)
        .port(endpoint.port)
        .user(user)
        .dbname(database)
        .connect(NoTls)
        .await?;
    let connection = tokio::spawn(connection);
    queries(&client, &mut counted).await?;
    portals(&mut client, &mut counted).await?;
    copies(&client, &mut counted).await?;
    drop(client);
    connection.await.expect("the connection's task")?;
    Ok(counted)
}

async fn queries(client: &Client, counted: &mut Counted) -> Result<(), tokio_postgres::Error> {
    // One after the other, prepared once.
    let statement = client
        .prepare("SELECT id, name FROM items WHERE id <= $1")
        .await?;
    for limit in 1..=40 {
        counted.queries += 1;
        counted.returned += client.query(&statement, &[&limit]).await?.len() as u64;
    }
    // Pipelined: all are sent before the first is answered.
    let limits: Vec<i32> = (0..500).collect();
    let pipelined = &statement;
    let rows = future::try_join_all(limits.iter().map(|limit| async move {
        let found = client.query_raw(pipelined, [limit]).await?;
        let found: Vec<_> = found.try_collect().await?;
        Ok::<_, tokio_postgres::Error>(found.len() as u64)
    }))
    .await?;
    counted.queries += rows.len() as u64;
    counted.returned += rows.iter().sum::<u64>();
    // Several statements in one message.
    for message in client
        .simple_query("SELECT 1; SELECT id FROM items WHERE id < 9; INSERT INTO work VALUES (1, 'a'), (2, 'b')")
        .await?
    {
        match message {
            SimpleQueryMessage::Row(_) => counted.returned += 1,
            SimpleQueryMessage::CommandComplete(_) => counted.queries += 1,
            _ => {}
        }
    }
    counted.written += 2;
    let insert = client
        .prepare("INSERT INTO work SELECT i, $1 FROM generate_series(1, $2) i")
        .await?;
    for rows in [0, 1, 10, 100] {
        counted.queries += 1;
        counted.written += client.execute(&insert, &[&"tokio", &rows]).await?;
    }
    let returning = client
        .query(
            "UPDATE work SET name = 'updated' WHERE id <= 10 RETURNING *",
            &[],
        )
        .await?
        .len() as u64;
    counted.queries += 1;
    counted.written += returning;
    counted.returned += returning;
    counted.returning += returning;
    let error = client.query("SELECT 1 / $1::int4", &[&0]).await;
    assert!(error.is_err(), "expected a division by zero, got {error:?}");
    counted.queries += 1;
    counted.failed += 1;
    Ok(())
}

async fn portals(client: &mut Client, counted: &mut Counted) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let portal = transaction
        .bind("SELECT id, payload FROM items ORDER BY id", &[])
        .await?;
    let other = transaction
        .bind("SELECT id FROM items WHERE id <= $1 ORDER BY id", &[&300])
        .await?;
    let mut last = 0;
    loop {
        let rows = transaction.query_portal(&portal, 700).await?.len() as u64;
        // Two portals in turn.
        let others = transaction.query_portal(&other, 100).await?.len() as u64;
        counted.returned += rows + others;
        if rows < 700 {
            break;
        }
        last += rows;
    }
    // BEGIN, two portals, COMMIT.
    counted.queries += 4;
    counted.portal += last;
    // 300 rows at 100 a time, then nothing, several times.
    counted.portal += 300;
    transaction.commit().await
}

async fn copies(client: &Client, counted: &mut Counted) -> Result<(), tokio_postgres::Error> {
    let sink = client.copy_in("COPY work (id, name) FROM STDIN").await?;
    let mut sink = std::pin::pin!(sink);
    for i in 0..5000 {
        sink.send(Bytes::from(format!("{i}\tcopied by tokio\n")))
            .await?;
    }
    counted.written += sink.finish().await?;
    counted.queries += 1;
    let stream = client.copy_out("COPY items TO STDOUT").await?;
    let chunks: Vec<Bytes> = stream.try_collect().await?;
    counted.returned += chunks
        .iter()
        .flat_map(|chunk| chunk.iter())
        .filter(|byte| **byte == b'\n')
        .count() as u64;
    counted.queries += 1;
    Ok(())
}
