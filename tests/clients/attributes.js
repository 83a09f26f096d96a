// mysql2: query attributes, with the text protocol and with prepared statements; one without a value, and as many as letters have numbers.
//
// Usage: attributes.js HOST-OR-SOCKET PORT USER DATABASE; the password in MYSQL_PWD. Prints one line of JSON. NODE_PATH names the
// modules' directory. The server needs its component query_attributes.
'use strict';

const assert = require('node:assert');
const mysql = require('mysql2/promise');

const [host, port, user, database] = process.argv.slice(2);
const where = host.startsWith('/') ? { socketPath: host } : { host, port: Number(port) };
const count = { queries: 0, returned: 0, written: 0 };

function add([rows]) {
  count.queries += 1;
  count.returned += rows.length;
  return rows;
}

async function main() {
  const connection = await mysql.createConnection({ ...where, user, database, password: process.env.MYSQL_PWD });
  const many = (length) => Object.fromEntries(Array.from({ length }, (_, i) => [`k${i}`, `v${i}`]));
  for (const attributes of [{}, { person: 'ann', none: null, number: 7.5, yes: true, at: new Date() }, many(9), many(83)]) {
    for (const run of ['query', 'execute']) {
      add(await connection[run]({ sql: 'SELECT id, name FROM items WHERE id <= 25', attributes }));
    }
  }
  for (const run of ['query', 'execute']) {
    const sql = "SELECT mysql_query_attribute_string('person') AS person FROM items WHERE id <= 2";
    const rows = add(await connection[run]({ sql, attributes: { person: 'ann' } }));
    // The server did take it.
    assert.deepStrictEqual(rows.map((row) => String(row.person)), ['ann', 'ann']);
  }
  await connection.end();
  console.log(JSON.stringify(count));
}

main().catch((error) => { console.error(error); process.exit(1); });
