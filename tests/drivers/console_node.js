// The console by node-postgres, by simple queries and by prepared ones. NODE_PATH must lead to `pg`.
'use strict';
const assert = require('assert');
const { Client, Pool } = require('pg');

async function main() {
  const client = new Client();
  const notices = [];
  client.on('notice', (notice) => notices.push(notice.message));
  await client.connect();
  const version = await client.query('SHOW VERSION');
  assert.match(version.rows[0].version, /howdah/);
  const prepared = { name: 'databases', text: "SHOW DATABASES WHERE name = 'app'" };
  for (let n = 0; n < 3; n++) {
    const { rows, fields } = await client.query(prepared);
    assert.strictEqual(rows.length, 1);
    assert.strictEqual(rows[0].port, 1);
    assert.deepStrictEqual(fields.slice(0, 3).map((field) => [field.name, field.dataTypeID]), [['name', 25], ['host', 25], ['port', 23]]);
  }
  const binary = await client.query({ text: 'SHOW LISTS', rowMode: 'array', binary: true });
  assert.deepStrictEqual(binary.rows[0], ['databases', 1]);
  const [stats, state] = await client.query('SHOW STATS; SHOW STATE');
  assert.strictEqual(stats.fields[1].dataTypeID, 1700);
  assert.deepStrictEqual(state.rows[0], { key: 'active', value: 'yes' });
  await client.query("SET search_path TO 'x'");
  assert.match(notices[0], /ignored/);
  await assert.rejects(client.query('SELECT 1'), (error) => error.code === '42601' && /SHOW HELP/.test(error.hint));
  await assert.rejects(client.query('SHOW STATS WHERE x = 1'), (error) => error.code === '42703');
  await assert.rejects(client.query('SHOW POOLS LIMIT $1', [1]), (error) => error.code === '42601');
  await client.end();

  const pool = new Pool({ max: 3 });
  await Promise.all(Array.from({ length: 9 }, () => pool.query('SHOW POOLS')));
  await pool.end();
  console.log('console: ok');
}

main();
