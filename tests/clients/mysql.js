// mysql2: prepared statements (binary protocol), executed often, with data of all kinds, with errors; and plain queries.
//
// Usage: mysql.js HOST-OR-SOCKET PORT USER DATABASE; a password in MYSQL_PWD. Prints one line of JSON. NODE_PATH names the modules'
// directory; with CLIENT_TLS in the environment by TLS.
'use strict';

const mysql = require('mysql2/promise');

const [host, port, user, database] = process.argv.slice(2);
const where = host.startsWith('/') ? { socketPath: host } : { host, port: Number(port) };
const tls = process.env.CLIENT_TLS ? { ssl: { rejectUnauthorized: false } } : {};
const count = { queries: 0, returned: 0, written: 0, failed: 0 };

function add([result]) {
  count.queries += 1;
  if (Array.isArray(result)) {
    count.returned += result.length;
  } else {
    count.written += result.affectedRows;
  }
}

async function main() {
  const connection = await mysql.createConnection({ ...where, ...tls, user, database, password: process.env.MYSQL_PWD });
  for (let i = 0; i < 300; i += 1) {
    add(await connection.execute('SELECT name FROM items WHERE id = ?', [i]));
    add(await connection.execute('SELECT id, name, payload FROM items WHERE id <= ? AND name <> ?', [i, 'x']));
  }
  add(await connection.execute('SELECT * FROM items WHERE id > ?', [0]));
  await connection.query('CREATE TEMPORARY TABLE work (id INT, name LONGTEXT)').then(add);
  for (let i = 0; i < 50; i += 1) {
    add(await connection.execute('INSERT INTO work VALUES (?, ?), (?, ?)', [i, 'a', i, null]));
  }
  add(await connection.execute('INSERT INTO work VALUES (?, ?)', [1, 'x'.repeat(300000)]));
  add(await connection.execute('UPDATE work SET name = ? WHERE id < ?', ['b', 10]));
  add(await connection.execute('DELETE FROM work WHERE id < ?', [20]));
  add(await connection.query('SELECT id FROM items WHERE id <= 1234'));
  await connection.execute('SELECT nothing FROM nowhere').then(
    () => { throw new Error('did not fail'); },
    () => { count.queries += 1; count.failed += 1; },
  );
  connection.unprepare('SELECT name FROM items WHERE id = ?');
  add(await connection.execute('SELECT name FROM items WHERE id = ?', [7]));
  await connection.end();
  console.log(JSON.stringify(count));
}

main().catch((error) => { console.error(error); process.exit(1); });
