// What Prisma's engine does, by node-postgres: a pool for each schema, statements by name (s0, s1, …) that mean
// the same text in every schema, interactive transactions with levels, and a ping. NODE_PATH must lead to `pg`.
'use strict';
const assert = require('assert');
const { Client, Pool } = require('pg');

const prefix = `prisma_${process.pid}`;
const SCHEMAS = 4;

const text = {
  who: 'SELECT who FROM tenant WHERE id = $1',
  add: 'INSERT INTO item (who, n) VALUES ($1, $2) RETURNING who, n',
  list: 'SELECT who, n FROM item WHERE n >= $1 ORDER BY n LIMIT 5',
  where: 'SELECT current_schema AS schema, current_setting(\'statement_timeout\') AS timeout',
};
const names = Object.fromEntries(Object.keys(text).map((key, n) => [key, `s${n}`]));

// The statements have the same name and the same text for all; the tables behind them are those of the schema.
function run(client, key, values = []) {
  return client.query({ name: names[key], text: text[key], values });
}

async function look(client, schema) {
  const where = (await run(client, 'where')).rows[0];
  assert.deepStrictEqual(where, { schema: `${prefix}_${schema}`, timeout: `${schema + 5}min` });
  assert.deepStrictEqual((await run(client, 'who', [1])).rows, [{ who: `schema ${schema}` }]);
}

async function interactive(client, schema, level, commit) {
  await client.query('BEGIN');
  await client.query(`SET TRANSACTION ISOLATION LEVEL ${level}`);
  await look(client, schema);
  const added = (await run(client, 'add', [`schema ${schema}`, 1])).rows[0];
  assert.deepStrictEqual(added, { who: `schema ${schema}`, n: 1 });
  assert.strictEqual((await client.query('SHOW transaction_isolation')).rows[0].transaction_isolation, level.toLowerCase());
  assert.ok((await run(client, 'list', [0])).rows.length > 0);
  await client.query(commit ? 'COMMIT' : 'ROLLBACK');
}

async function failing(client, schema) {
  await assert.rejects(run(client, 'add', ['x'.repeat(60), 1]), (error) => error.code === '22001');
  await look(client, schema);
}

async function user(pool, schema, number) {
  for (let round = 0; round < 6; round++) {
    const client = await pool.connect();
    try {
      await client.query('SELECT 1');
      await look(client, schema);
      await interactive(client, schema, ['READ COMMITTED', 'READ UNCOMMITTED', 'REPEATABLE READ'][number % 3], false);
      await interactive(client, schema, 'READ COMMITTED', true);
      await failing(client, schema);
      for (const row of (await run(client, 'list', [0])).rows) assert.strictEqual(row.who, `schema ${schema}`);
    } finally {
      client.release();
    }
  }
}

async function engine(schema) {
  const pool = new Pool({ max: 3 });
  const prepared = [];
  pool.on('connect', (client) => {
    // Queued before whatever the user of the connection sends.
    prepared.push(client.query('SET NAMES \'UTF8\''), client.query(`SET search_path = "${prefix}_${schema}"`),
      client.query(`SET statement_timeout = '${schema + 5}min'`));
  });
  await Promise.all([...Array(4).keys()].map((number) => user(pool, schema, number)));
  await Promise.all(prepared);
  await pool.end();
}

async function main() {
  const client = new Client();
  await client.connect();
  for (let n = 0; n < SCHEMAS; n++) {
    const schema = `${prefix}_${n}`;
    await client.query(`CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.tenant AS SELECT 1 AS id, 'schema ${n}' AS who;
      CREATE TABLE ${schema}.item (who varchar(50), n int)`);
  }
  try {
    await Promise.all([...Array(SCHEMAS).keys()].map(engine));
    for (let n = 0; n < SCHEMAS; n++) {
      const count = await client.query(`SELECT count(*)::int AS c FROM ${prefix}_${n}.item WHERE who = 'schema ${n}'`);
      assert.strictEqual(count.rows[0].c, 24);
    }
  } finally {
    for (let n = 0; n < SCHEMAS; n++) await client.query(`DROP SCHEMA ${prefix}_${n} CASCADE`);
    await client.end();
  }
  console.log('like Prisma: ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
