// node-postgres against the server of PGHOST, PGPORT and so on. NODE_PATH must lead to `pg`.
'use strict';
const assert = require('assert');
const { Client, Pool } = require('pg');

const table = `node_pg_${process.pid}`;

async function namedStatements(client, number) {
  for (let n = 0; n < 20; n++) {
    const sum = await client.query({ name: 'sum', text: 'SELECT $1::int + $2::int AS sum', values: [n, number] });
    assert.strictEqual(sum.rows[0].sum, n + number);
    const text = await client.query({ name: 'text', text: 'SELECT $1::text AS t', values: [`é${n}`] });
    assert.strictEqual(text.rows[0].t, `é${n}`);
  }
  await assert.rejects(
    client.query({ name: 'divide', text: 'SELECT 1 / $1::int AS q', values: [0] }),
    (error) => error.code === '22012',
  );
  const one = await client.query({ name: 'divide', text: 'SELECT 1 / $1::int AS q', values: [1] });
  assert.strictEqual(one.rows[0].q, 1);
}

async function transactions(client, who) {
  await client.query('BEGIN');
  await client.query(`INSERT INTO ${table} VALUES ($1, $2)`, [1, who]);
  await client.query('SAVEPOINT a');
  await assert.rejects(client.query('SELECT * FROM no_such_table'), (error) => error.code === '42P01');
  await client.query('ROLLBACK TO a');
  await client.query('COMMIT');
  const kept = await client.query(`SELECT n FROM ${table} WHERE who = $1`, [who]);
  assert.deepStrictEqual(kept.rows, [{ n: 1 }]);
  await client.query('BEGIN');
  await client.query(`DELETE FROM ${table} WHERE who = $1`, [who]);
  await client.query('ROLLBACK');
  const still = await client.query(`SELECT count(*)::int AS c FROM ${table} WHERE who = $1`, [who]);
  assert.strictEqual(still.rows[0].c, 1);
  await client.query(`DELETE FROM ${table} WHERE who = $1`, [who]);
}

async function queued(client) {
  // node-postgres queues these and sends each when the one before is done.
  const answers = await Promise.all([...Array(20).keys()].map((n) => client.query('SELECT $1::int AS n', [n])));
  assert.deepStrictEqual(answers.map((answer) => answer.rows[0].n), [...Array(20).keys()]);
  const both = await client.query('SELECT 1 AS a; SELECT 2 AS b');
  assert.deepStrictEqual([both[0].rows, both[1].rows], [[{ a: 1 }], [{ b: 2 }]]);
  const many = await client.query('SELECT n, repeat(\'x\', 500) AS x FROM generate_series(1, 3000) n');
  assert.strictEqual(many.rows.length, 3000);
}

async function notices(client) {
  const seen = [];
  const hear = (notice) => seen.push(notice.message);
  client.on('notice', hear);
  await client.query("DO $$ BEGIN RAISE NOTICE 'hear this'; END $$");
  client.off('notice', hear);
  assert.deepStrictEqual(seen, ['hear this']);
}

async function notifications(number) {
  const channel = `${table}_${number}`;
  const [listener, other] = [new Client(), new Client()];
  await Promise.all([listener.connect(), other.connect()]);
  try {
    const heard = [];
    const all = new Promise((resolve) => {
      listener.on('notification', (message) => {
        assert.strictEqual(message.channel, channel);
        if (heard.push(message.payload) === 21) resolve();
      });
    });
    await listener.query(`LISTEN ${channel}`);
    for (let n = 0; n < 20; n++) {
      await other.query('SELECT pg_notify($1, $2)', [channel, `${n}`]);
    }
    await listener.query(`NOTIFY ${channel}, 'own'`);
    await all;
    assert.deepStrictEqual(heard, [...Array(20).keys()].map(String).concat('own'));
    await listener.query('UNLISTEN *');
  } finally {
    await Promise.all([listener.end(), other.end()]);
  }
}

async function task(pool, number) {
  for (let round = 0; round < 3; round++) {
    const client = await pool.connect();
    try {
      await namedStatements(client, number);
      await transactions(client, `task ${number}`);
      await queued(client);
      await notices(client);
    } finally {
      client.release();
    }
    assert.strictEqual((await pool.query('SELECT $1::int AS n', [number])).rows[0].n, number);
  }
  await notifications(number);
}

async function main() {
  const client = new Client();
  await client.connect();
  await client.query(`CREATE TABLE ${table} (n int, who text)`);
  const pool = new Pool({ max: 6 });
  try {
    await Promise.all([...Array(8).keys()].map((number) => task(pool, number)));
  } finally {
    await pool.end();
    await client.query(`DROP TABLE ${table}`);
    await client.end();
  }
  console.log('node-postgres: ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
