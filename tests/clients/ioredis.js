// ioredis: reads, a pipeline by its own, pipelines that it makes of what is asked at once, a transaction, and a stream of keys.
//
// Usage: ioredis.js HOST-OR-SOCKET PORT USER PASSWORD; prints, as one line of JSON, queries and rows by command and kind of key.
// What the client asks for itself at the beginning of a connection is not in there. NODE_PATH names the modules' directory.
'use strict';

const Redis = require('ioredis');

const [host, port, username, password] = process.argv.slice(2);
const where = host.startsWith('/') ? { path: host } : { host, port: Number(port) };
const count = {};

function leaves(reply) {
  if (reply === null) return 0;
  return Array.isArray(reply) ? reply.reduce((sum, part) => sum + leaves(part), 0) : 1;
}

function add(command, keys, rows) {
  const name = `${command} ${keys}`.trim();
  count[name] = count[name] || [0, 0];
  count[name][0] += 1;
  count[name][1] += rows;
}

// Of these the reply is a status or a number.
const SAY_LITTLE = new Set(['SET', 'RPUSH', 'EXISTS']);

async function run(redis, keys, command, ...rest) {
  const reply = await redis.call(command, ...rest);
  add(command, keys, SAY_LITTLE.has(command) ? 0 : leaves(command.endsWith('SCAN') ? reply[1] : reply));
  return reply;
}

async function main() {
  const redis = new Redis({ ...where, username, password });
  for (let i = 0; i < 150; i += 1) {
    await run(redis, 'user:*:email', 'GET', `user:zq7x${i + 100}:email`);
    await run(redis, 'work:*', 'SET', `work:${username}zq7x${i}`, 'zq7x'.repeat(i));
  }
  await run(redis, 'queue:*', 'LRANGE', 'queue:zq7x1', '0', '-1');
  await run(redis, 'profile:*', 'HGETALL', 'profile:zq7x2');
  await run(redis, 'board:*', 'ZRANGE', 'board:zq7x1', '0', '-1', 'WITHSCORES');
  await run(redis, 'tags:*', 'SMEMBERS', 'tags:zq7x1');
  const pipeline = redis.pipeline();
  for (let i = 0; i < 1000; i += 1) pipeline.get(`user:zq7x${i}:email`);
  for (const [, reply] of await pipeline.exec()) add('GET', 'user:*:email', leaves(reply));
  const results = await redis.multi().get('user:zq7x1:email').hgetall('profile:zq7x1').exec();
  add('MULTI', '', 0);
  add('GET', 'user:*:email', 0);
  add('HGETALL', 'profile:*', 0);
  add('EXEC', '', 1 + 2 * Object.keys(results[1][1]).length);
  const found = redis.scanStream({ match: 'user:zq7x*', count: 50 });
  // A page an event.
  for await (const keys of found) add('SCAN', 'user:*', keys.length);
  await redis.quit();

  const eager = new Redis({ ...where, username, password, enableAutoPipelining: true });
  const replies = await Promise.all(Array.from({ length: 500 }, (_, i) => eager.get(`user:zq7x${i}:email`)));
  for (const reply of replies) add('GET', 'user:*:email', leaves(reply));
  await eager.quit();
  add('QUIT', '', 0);
  add('QUIT', '', 0);
  console.log(JSON.stringify(count));
}

main().catch((error) => { console.error(error); process.exit(1); });
