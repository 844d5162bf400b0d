// The scenario by node-mysql2: query() is the text protocol, execute() and prepare() the binary one.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import mysql from 'mysql2/promise';
import { described, digest, emit, pattern, plain, skip, statements } from '../shared/scenario.mjs';

const [HOST, PORT, USER, PASSWORD, SCHEMA, SECURITY = 'plain', ...rest] = process.argv.slice(2);
if (!SCHEMA || rest.length || !['tls', 'plain'].includes(SECURITY)) {
  console.error('usage: run HOST PORT USER PASSWORD SCHEMA [tls|plain]');
  process.exit(2);
}
const OTHER = `${SCHEMA}_other`;

const connect = (options = {}) =>
  mysql.createConnection({
    host: HOST,
    port: Number(PORT),
    user: USER,
    password: PASSWORD,
    database: SCHEMA,
    ssl: SECURITY === 'tls' ? { rejectUnauthorized: false } : undefined,
    dateStrings: true,
    supportBigNumbers: true,
    bigNumberStrings: true,
    ...options,
  });

// One result or, after CALL and several statements, each of them: what OK packets say, or rows and columns.
function results(found, fields) {
  const several = Array.isArray(fields) && fields.some((field) => field === undefined || Array.isArray(field));
  const all = several ? found.map((one, index) => [one, fields[index]]) : [[found, fields]];
  return all.map(([one, columns]) =>
    Array.isArray(one)
      ? {
          columns: columns.map((c) => [c.name, c.orgName, c.table, c.columnType, c.columnLength, c.flags, c.decimals, c.characterSet]),
          rows: plain(one),
        }
      : one,
  );
}

async function answered(step, shown, ask) {
  try {
    emit(step, { ...shown, results: results(...(await ask())) });
  } catch (error) {
    emit(step, { ...shown, ...described(error) });
  }
}

const query = (connection, step, sql, values) =>
  answered(step, { sql: sql.slice(0, 100) }, () => connection.query({ sql, values, rowsAsArray: true }));
const execute = (connection, step, sql, values) =>
  answered(step, { execute: sql.slice(0, 100) }, () => connection.execute({ sql, values, rowsAsArray: true }));

async function attempt(step, act) {
  try {
    await act();
    emit(step, { done: true });
  } catch (error) {
    emit(step, described(error));
  }
}

async function connecting() {
  const fresh = await connect({ database: undefined });
  for (const schema of [SCHEMA, OTHER]) {
    await fresh.query(`DROP DATABASE IF EXISTS ${schema}`); // unprinted: an earlier run may have been cut off
    await query(fresh, 'schemas', `CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
  }
  await query(fresh, 'no schema yet', 'SHOW TABLES');
  await fresh.end();
  await attempt('wrong password', () => connect({ password: `${PASSWORD}x` }));
  await attempt('unknown schema', () => connect({ database: 'no_such_schema_here' }));
  const connection = await connect();
  emit('connect', { tls: Boolean(connection.connection.stream.encrypted) });
  await query(connection, 'connect', 'SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@character_set_client');
  return connection;
}

async function options() {
  const latin = await connect({ charset: 'latin1' });
  await query(latin, 'charset latin1', "SELECT 'é', HEX('é'), @@character_set_results, @@collation_connection");
  await latin.end();
  const compressed = await connect({ compress: true });
  await query(compressed, 'compression asked for', "SELECT LENGTH(?), REPEAT('y', 3000)", ['x'.repeat(5000)]);
  await compressed.end();
  const found = await connect({ flags: ['-FOUND_ROWS'] });
  for (const age of [44, 44])
    await query(found, 'found rows flag off', `UPDATE people SET age = ${age} WHERE name = 'Ada'`);
  await found.end();
  const rows = await connect({ flags: ['FOUND_ROWS'] });
  await query(rows, 'found rows flag on', "UPDATE people SET age = 44 WHERE name = 'Ada'");
  await rows.end();
}

const PARAMETERS = [
  [1, -1.5, 'text 🐬', Buffer.from([0, 255, 39, 92]), null, true, '2024-02-29', { a: [1, null] }],
  ['9007199254740993', 1e300, '', Buffer.alloc(0), null, false, '0001-01-01', {}],
  [0, -0, 'ü'.repeat(300), pattern(256), 'not null', true, '', []],
];

async function prepared(connection) {
  for (const values of PARAMETERS)
    await execute(connection, 'prepared, many types', 'SELECT ?, ?, ?, ?, ?, ?, ?, ?', values);
  await execute(connection, 'prepared, every column type', 'SELECT * FROM types WHERE id >= ? ORDER BY id', [0]);
  const moments = 'SELECT CAST(? AS DATE), CAST(? AS DATETIME(6)), CAST(? AS TIME(3))';
  await execute(connection, 'prepared, moments', moments, ['2024-02-29', '2024-02-29 23:59:59.999999', '-25:00:00.5']);

  const insert = 'INSERT INTO people (name, age) VALUES (?, ?)';
  for (const name of ['prepared 0', 'prepared 1', 'prepared 1', 'prepared 2'])
    await execute(connection, 'prepared insert', insert, [name, 9]);
  await execute(connection, 'prepared insert', 'SELECT COUNT(*), SUM(age) FROM people WHERE name LIKE ?', ['prepared%']);

  const [first, second] = [await connection.prepare('SELECT ? + 1'), await connection.prepare('SELECT ? + 1')];
  for (const [statement, value] of [[first, 1], [second, 2], [first, 3]])
    await answered('two handles, one text', { value }, () => statement.execute([value]));
  await first.close();
  await answered('two handles, one text', { value: 5 }, () => second.execute([5]));
  connection.unprepare('SELECT ? + 1');
  const again = await connection.prepare('SELECT ? + 1');
  await answered('close and prepare again', { value: 7 }, () => again.execute([7]));
  await again.close();

  await execute(connection, 'prepared errors', 'SELEC ?', [1]);
  await execute(connection, 'prepared errors', 'SELECT * FROM no_such_table WHERE id = ?', [1]);
  await execute(connection, 'prepared errors', 'SELECT CAST(? AS SIGNED)', ['abc']);
  await query(connection, 'prepared errors', 'SHOW WARNINGS');
  await execute(connection, 'prepared call', 'CALL doubles(?, @d)', [21]);
  await execute(connection, 'prepared call', 'SELECT @d', []);
  await execute(connection, 'prepared call', 'CALL doubles(?, ?)', [21, 0]);
  for (const sql of ['SET @by_prepared = 3', 'SELECT @by_prepared', 'BEGIN', 'DELETE FROM types', 'SELECT COUNT(*) FROM types', 'ROLLBACK', 'SELECT COUNT(*) FROM types', 'SHOW TABLES', 'DO 1'])
    await execute(connection, 'prepared, no parameters', sql, []);
  for (const change of ['CREATE TABLE changing (a INT)', 'INSERT INTO changing VALUES (1)', "ALTER TABLE changing ADD COLUMN b VARCHAR(5) DEFAULT 'new'", 'DROP TABLE changing']) {
    await query(connection, 'table changes under a handle', change);
    await execute(connection, 'table changes under a handle', 'SELECT * FROM changing', []);
  }
  for (let n = 0; n < 50; n++) {
    const many = await connection.prepare(`SELECT ${n} + ?`);
    const [[row]] = await many.execute([n]);
    if (Number(Object.values(row)[0]) !== 2 * n) emit('fifty handles', { n, row });
  }
  emit('fifty handles', { done: true });
  skip('long data', 'node-mysql2 has none');
  skip('server-side cursor', 'node-mysql2 has none');
}

async function driverCalls(connection) {
  await attempt('ping', () => connection.ping());
  await query(connection, 'change schema', `USE ${OTHER}`);
  await query(connection, 'change schema', 'SELECT DATABASE()');
  await query(connection, 'change schema', `USE ${SCHEMA}`);
  await query(connection, 'bulk insert', 'INSERT INTO people (name, age) VALUES ?', [[...Array(500).keys()].map((n) => [`many ${n}`, n])]);
  await query(connection, 'bulk insert', "SELECT COUNT(*), SUM(age) FROM people WHERE name LIKE 'many%'");
  await query(connection, 'procedure', 'CREATE PROCEDURE doubles (IN a INT, OUT b INT) BEGIN SELECT a; SELECT a, a; SET b = a * 2; END');
  await query(connection, 'procedure', 'CALL doubles(21, @d)');
  await query(connection, 'procedure', 'SELECT @d');
  await query(connection, 'parameters', 'SELECT ?, ?, ?, ?, ?', [1, "qu'o\\te", null, Buffer.from([0, 255]), 1.5]);
}

async function transactions(connection) {
  await connection.beginTransaction();
  await query(connection, 'begin', "INSERT INTO people (name) VALUES ('undone')");
  await query(connection, 'begin', "SELECT COUNT(*) FROM people WHERE name = 'undone'");
  await connection.rollback();
  await query(connection, 'rollback', "SELECT COUNT(*) FROM people WHERE name = 'undone'");
  await connection.beginTransaction();
  await query(connection, 'begin', "INSERT INTO people (name) VALUES ('done')");
  await connection.commit();
  await query(connection, 'commit', "SELECT COUNT(*) FROM people WHERE name = 'done'");
}

async function multiStatements() {
  const connection = await connect({ multipleStatements: true });
  await query(connection, 'multi-statements', "SELECT 1; INSERT INTO people (name) VALUES ('batch'); SELECT COUNT(*) FROM people WHERE name = 'batch'");
  await query(connection, 'multi-statements', "SET @m = 1; BEGIN; UPDATE people SET age = 5 WHERE name = 'batch'");
  await query(connection, 'multi-statements', "SELECT @m, age FROM people WHERE name = 'batch'");
  await query(connection, 'multi-statements', "ROLLBACK; SELECT age FROM people WHERE name = 'batch'");
  await query(connection, 'multi-statements', 'SELECT 1; SELEC 2; SELECT 3');
  await query(connection, 'multi-statements', 'SELECT 4');
  await connection.end();
}

async function resets(connection) {
  const dirty = async () => {
    await connection.query("SET @mine = 1, SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+02:00'");
    await connection.query('CREATE TEMPORARY TABLE scratch (id INT)');
    await connection.query(`SELECT GET_LOCK('${SCHEMA}.reset', 0)`);
    await connection.query('START TRANSACTION');
    await connection.query("INSERT INTO people (name) VALUES ('never committed')");
  };
  const look = async (step) => {
    await query(connection, step, 'SELECT DATABASE(), @mine IS NULL, @@sql_mode, @@time_zone = @@GLOBAL.time_zone, @@autocommit');
    await query(connection, step, 'SELECT * FROM scratch');
    await query(connection, step, `SELECT IS_FREE_LOCK('${SCHEMA}.reset')`);
    await query(connection, step, "SELECT COUNT(*) FROM people WHERE name = 'never committed'");
    await execute(connection, step, 'SELECT ? AS prepared_after_reset', [1]);
  };
  await dirty();
  await attempt('reset connection', () => connection.reset());
  await look('reset connection');
  await dirty();
  await attempt('change user', () => connection.changeUser({ user: USER, password: PASSWORD, database: OTHER }));
  await query(connection, 'change user', `USE ${SCHEMA}`);
  await look('change user');
  const other = await connect();
  await attempt('change user, wrong password', () => other.changeUser({ user: USER, password: `${PASSWORD}x` }));
  other.destroy();
}

async function localInfile() {
  const lines = [...Array(20000).keys()].map((n) => Buffer.from(`${n}\tword ${n}\n`));
  const connection = await connect({ infileStreamFactory: () => Readable.from(lines) });
  await query(connection, 'load data local', 'CREATE TABLE loaded (id INT, word VARCHAR(20))');
  await query(connection, 'load data local', "LOAD DATA LOCAL INFILE 'from a stream' INTO TABLE loaded");
  await query(connection, 'load data local', 'SELECT COUNT(*), SUM(id), MAX(word) FROM loaded');
  await connection.end();
}

async function streaming(connection) {
  const sql =
    'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) ' +
    'SELECT a.i, REPEAT(SHA2(a.i * b.i, 256), 16) FROM n a, n b WHERE b.i <= 10 ORDER BY b.i, a.i';
  for (const protocol of ['query', 'execute']) {
    const hash = createHash('sha256');
    let count = 0;
    for await (const row of connection.connection[protocol]({ sql, rowsAsArray: true }).stream({ highWaterMark: 5 })) {
      hash.update(row.join(''));
      count++;
    }
    emit('large result, streamed', { protocol, rows: count, sha256: hash.digest('hex') });
  }
}

async function largePackets() {
  const connection = await connect();
  await query(connection, 'large packets', 'CREATE TABLE large (id INT PRIMARY KEY, data LONGBLOB)');
  let id = 0;
  for (const size of [(16 << 20) - 1, 16 << 20, 20 << 20])
    for (const protocol of ['query', 'execute']) {
      const data = pattern(size);
      await connection[protocol]('INSERT INTO large VALUES (?, ?)', [++id, data]);
      const [[back]] = await connection[protocol]('SELECT data, SHA2(data, 256) AS sha2 FROM large WHERE id = ?', [id]);
      emit('large packets', { protocol, same: data.equals(back.data), sha2: back.sha2, ...digest(back.data) });
    }
  await query(connection, 'large packets', 'DROP TABLE large');
  await connection.end();
}

// Commands sent without waiting for the answers before them.
async function pipelined(connection) {
  const asked = [...Array(50).keys()].map((n) => connection.query({ sql: `SELECT ${n}`, rowsAsArray: true }));
  emit('fifty queries at once', { rows: (await Promise.all(asked)).map(([rows]) => rows[0][0]) });
}

async function readYourWrites(connection) {
  await query(connection, 'read your writes', 'CREATE TABLE mine (id INT AUTO_INCREMENT PRIMARY KEY, n INT)');
  const wrong = [];
  for (let n = 1; n <= 200; n++) {
    const [{ insertId }] = await connection.execute('INSERT INTO mine (n) VALUES (?)', [n]);
    const [[seen]] = await connection.execute('SELECT COUNT(*) AS count, MAX(n) AS max FROM mine');
    if (insertId !== n || Number(seen.count) !== n || seen.max !== n) wrong.push([n, insertId, seen]);
  }
  emit('read your writes', { rounds: 200, wrong });
}

const connection = await connecting();
for (const [step, sql] of statements(SCHEMA)) await query(connection, step, sql);
await options();
await driverCalls(connection);
await prepared(connection);
await transactions(connection);
await multiStatements();
await resets(connection);
await localInfile();
await streaming(connection);
await largePackets();
await pipelined(connection);
await readYourWrites(connection);
await query(connection, 'drop schemas', `DROP DATABASE ${SCHEMA}`);
await query(connection, 'drop schemas', `DROP DATABASE ${OTHER}`);
await connection.end();
emit('disconnect', { done: true });
