// node-postgres: plain and prepared queries, pg-cursor, pg-query-stream.
//
// Usage: node.js HOST PORT USER DATABASE; prints one line of JSON. NODE_PATH names the modules' directory.
'use strict';

const { Client, Pool } = require('pg');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');

const [host, port, user, database] = process.argv.slice(2);
const options = { host, port: Number(port), user, database };
const count = { queries: 0, returned: 0, written: 0, failed: 0, untracked: 0, returning: 0, portal: 0 };

// Adds the result of one statement.
function add(result) {
  for (const one of Array.isArray(result) ? result : [result]) {
    count.queries += 1;
    if (one.command === 'SELECT' || one.command === 'FETCH') {
      count.returned += one.rows.length;
    } else if (['INSERT', 'UPDATE', 'DELETE'].includes(one.command)) {
      count.written += one.rowCount;
      count.returned += one.rows.length;
      count.returning += one.rows.length;
    }
  }
}

async function fails(promise) {
  await promise.then(
    () => { throw new Error('did not fail'); },
    () => { count.queries += 1; count.failed += 1; },
  );
}

async function plain(client) {
  add(await client.query('select id, name from items where id <= 100'));
  add(await client.query('select 1; select id from items where id < 5; select 1 where false'));
  for (let i = 0; i < 50; i += 1) {
    add(await client.query('select name from items where id < $1', [i]));
  }
  for (let i = 0; i < 50; i += 1) {
    add(await client.query({ name: 'named', text: 'select payload from items where id < $1', values: [i] }));
  }
  add(await client.query('insert into work select i, $1 from generate_series(1, 300) i', ['node']));
  add(await client.query('update work set name = $1 where id <= $2 returning id', ['updated', 120]));
  add(await client.query('delete from work where id > $1', [250]));
  await fails(client.query('select 1/0'));
  await fails(client.query('select 1/$1::int', [0]));
  await fails(client.query('select nothing from nowhere where id = $1', [0]));
  add(await client.query('begin'));
  add(await client.query('select * from items'));
  add(await client.query('rollback'));
  // Queued by the client, answered in order.
  for (const result of await Promise.all([1, 2, 3, 4].map((n) => client.query('select generate_series(1, $1::int)', [n])))) {
    add(result);
  }
}

// Reads `batch` rows at a time; all of them, or only the first `limit` before closing.
async function cursor(client, total, batch, limit) {
  const found = client.query(new Cursor('select i, repeat($1, 40) from generate_series(1, $2::int) i', ['c', total]));
  let rows = 0;
  let last = 0;
  for (;;) {
    const read = await found.read(batch);
    rows += read.length;
    last = read.length;
    if (read.length === 0 || read.length < batch || rows >= limit) break;
  }
  await found.close();
  count.queries += 1;
  count.returned += rows;
  count.portal += rows - last;
}

async function stream(client, total, batch) {
  const query = new QueryStream('select i, repeat($1, 40) from generate_series(1, $2::int) i', ['q', total], { batchSize: batch });
  let rows = 0;
  for await (const row of client.query(query)) {
    rows += row ? 1 : 0;
  }
  count.queries += 1;
  count.returned += rows;
  // The last execution brings what is left, nothing when the batches divide the total.
  count.portal += rows - (rows % batch);
}

async function main() {
  const client = new Client(options);
  await client.connect();
  await plain(client);
  await cursor(client, 1050, 100, Infinity);
  await cursor(client, 1000, 100, Infinity);
  await cursor(client, 5000, 250, 1000);
  await cursor(client, 10, 100, Infinity);
  await stream(client, 20050, 1000);
  await stream(client, 30000, 100);
  await stream(client, 100010, 20000);
  await client.end();
  const pool = new Pool({ ...options, max: 5 });
  const results = await Promise.all(
    Array.from({ length: 100 }, (_, i) => pool.query('select id, payload from items where id <= $1', [i])),
  );
  results.forEach(add);
  await pool.end();
  console.log(JSON.stringify(count));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
