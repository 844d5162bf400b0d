// The scenario by MariaDB's connector for node: query() is the text protocol, execute() and prepare() the binary one, where
// the connector sends PREPARE and EXECUTE in one write; batch() is COM_STMT_BULK_EXECUTE on MariaDB.
import { createHash } from 'node:crypto';
import mariadb from 'mariadb';
import { described, digest, emit, pattern, plain, skip, statements } from '../shared/scenario.mjs';

const [HOST, PORT, USER, PASSWORD, SCHEMA, SECURITY = 'plain', ...rest] = process.argv.slice(2);
if (!SCHEMA || rest.length || !['tls', 'plain'].includes(SECURITY)) {
  console.error('usage: run HOST PORT USER PASSWORD SCHEMA [tls|plain]');
  process.exit(2);
}
const OTHER = `${SCHEMA}_other`;

const connect = (options = {}) =>
  mariadb.createConnection({
    host: HOST,
    port: Number(PORT),
    user: USER,
    password: PASSWORD,
    database: SCHEMA,
    ssl: SECURITY === 'tls' ? { rejectUnauthorized: false } : undefined,
    allowPublicKeyRetrieval: true,
    dateStrings: true,
    supportBigNumbers: true,
    bigNumberStrings: true,
    rowsAsArray: true,
    metaAsArray: true,
    logger: { warning: () => {} },
    ...options,
  });

// BigInts, which JSON lacks, and what is the driver's own about a column.
const shown = (value) => JSON.parse(JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? `${one}` : one)));
const column = (c) => [c.name(), c.orgName(), c.table(), c.columnType, c.columnLength, c.flags, c.scale, c.collation?.name, c._dataTypeName?.toString(), c._dataTypeFormat?.toString()];

// One result, or after CALL and several statements each of them: what OK packets say, or rows and columns.
function results(found) {
  if (Array.isArray(found) && found.length === 2 && Array.isArray(found[1]) && typeof found[1][0]?.name === 'function')
    return { columns: found[1].map(column), rows: plain(found[0]) };
  return Array.isArray(found) ? found.map(results) : found;
}

const refusal = (error) => described({ code: error.code, errno: error.errno, sqlState: error.sqlState, message: error.sqlMessage ?? error.message });

async function answered(step, about, ask) {
  try {
    emit(step, { ...about, results: shown(results(await ask())) });
  } catch (error) {
    emit(step, { ...about, ...refusal(error) });
  }
}

const query = (connection, step, sql, values) =>
  answered(step, { sql: sql.slice(0, 100) }, () => connection.query(sql, values));
const execute = (connection, step, sql, values) =>
  answered(step, { execute: sql.slice(0, 100) }, () => connection.execute(sql, values));

// The connector knows unit results by the names of their columns, so rows are objects here. Many results are a digest.
const batch = (connection, step, sql, values, options = {}) =>
  answered(step, { batch: sql.slice(0, 100), options }, async () => {
    const found = await connection.batch({ sql, rowsAsArray: false, metaAsArray: false, ...options }, values);
    return Array.isArray(found) && found.length > 20 ? { results: found.length, ...digest(JSON.stringify(shown(found))) } : found;
  });

async function attempt(step, act) {
  try {
    await act();
    emit(step, { done: true });
  } catch (error) {
    emit(step, refusal(error));
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
  await query(connection, 'connect', 'SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@character_set_client');
  return connection;
}

async function options() {
  const compressed = await connect({ compress: true });
  await query(compressed, 'compression asked for', "SELECT LENGTH(?), REPEAT('y', 3000)", ['x'.repeat(5000)]);
  await compressed.end();
  for (const foundRows of [false, true]) {
    const found = await connect({ foundRows });
    for (const age of [44, 44]) await query(found, `found rows ${foundRows}`, `UPDATE people SET age = ${age} WHERE name = 'Ada'`);
    await found.end();
  }
  const set = await connect({ sessionVariables: { wait_timeout: 12345 }, initSql: 'SET @made = 7', timezone: 'Z' });
  await query(set, 'session variables', 'SELECT @@wait_timeout, @made, @@time_zone');
  await set.end();
}

const PARAMETERS = [
  [1, -1.5, 'text 🐬', Buffer.from([0, 255, 39, 92]), null, true, '2024-02-29'],
  ['9007199254740993', 1e300, '', Buffer.alloc(0), null, false, '0001-01-01'],
  [0, 12345678901234567890n, 'ü'.repeat(300), pattern(256), 'not null', true, ''],
];

async function prepared(connection) {
  for (const values of PARAMETERS) await execute(connection, 'prepared, many types', 'SELECT ?, ?, ?, ?, ?, ?, ?', values);
  await execute(connection, 'prepared, every column type', 'SELECT * FROM types WHERE id >= ? ORDER BY id', [0]);
  for (const name of ['prepared 0', 'prepared 1', 'prepared 1'])
    await execute(connection, 'prepared insert', 'INSERT INTO people (name, age) VALUES (?, ?)', [name, 9]);
  await execute(connection, 'prepared insert', 'SELECT COUNT(*), SUM(age) FROM people WHERE name LIKE ?', ['prepared%']);

  const [first, second] = [await connection.prepare('SELECT ? + 1'), await connection.prepare('SELECT ? + 1')];
  for (const [statement, value] of [[first, 1], [second, 2], [first, 3]])
    await answered('two handles, one text', { value }, () => statement.execute([value]));
  first.close();
  await answered('two handles, one text', { value: 5 }, () => second.execute([5]));
  second.close();

  await execute(connection, 'prepared errors', 'SELEC ?', [1]);
  await execute(connection, 'prepared errors', 'SELECT * FROM no_such_table WHERE id = ?', [1]);
  await execute(connection, 'prepared call', 'CALL doubles(?, @d)', [21]);
  await execute(connection, 'prepared call', 'SELECT @d', []);
  for (const sql of ['SET @by_prepared = 3', 'SELECT @by_prepared', 'BEGIN', 'DELETE FROM types', 'SELECT COUNT(*) FROM types', 'ROLLBACK', 'SELECT COUNT(*) FROM types', 'SHOW TABLES', 'DO 1'])
    await execute(connection, 'prepared, no parameters', sql, []);
  skip('long data', 'the connector sends streams in batches of its own');
}

// Texts that are new to the connection: each is prepared and executed in one write, without waiting for those before it.
async function pipelined(connection) {
  const numbers = [...Array(50).keys()];
  const asked = numbers.map((n) => connection.query(`SELECT ${n}`));
  emit('fifty queries at once', { rows: (await Promise.all(asked)).map(([rows]) => rows[0][0]) });
  const run = (n) => (n % 7 === 3 ? `SELEC ${n} + ?` : n % 5 === 1 ? `INSERT INTO people (name, age) VALUES (CONCAT('once ', ?), ${n})` : `SELECT ${n} + ?`);
  const executed = await Promise.allSettled(numbers.map((n) => connection.execute(run(n), [n])));
  const answers = executed.map(({ value, reason }) => (reason ? refusal(reason) : shown(value.affectedRows ?? value[0])));
  emit('fifty new texts at once', { answers });
  await query(connection, 'fifty new texts at once', "SELECT COUNT(*), SUM(age) FROM people WHERE name LIKE 'once%'");
}

async function batches(connection) {
  const step = 'batches';
  await query(connection, step, 'CREATE TABLE batched (id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL DEFAULT 5, s LONGTEXT, d DECIMAL(10,2), CHECK (n < 1000))');
  const insert = 'INSERT INTO batched (n, s, d) VALUES (?, ?, ?)';
  const rows = [[1, 'one', 1.5], [2, null, null], [3, 'drei ü', '3.25']];
  await batch(connection, step, insert, rows);
  await batch(connection, step, insert, rows);
  await query(connection, step, 'SELECT LAST_INSERT_ID(), ROW_COUNT()');
  await batch(connection, step, insert, rows, { fullResult: true });
  await query(connection, step, 'SELECT LAST_INSERT_ID()');
  await batch(connection, step, insert, rows, { fullResult: false });
  await batch(connection, step, insert, rows, { bulk: false });
  await query(connection, step, 'SELECT * FROM batched ORDER BY id');
  await batch(connection, step, 'UPDATE batched SET n = ? WHERE id = ?', [[7, 1], [8, 2], [9, 200]]);
  await batch(connection, step, 'UPDATE batched SET n = ? WHERE id = ?', [[70, 1], [80, 2], [90, 200]], { fullResult: true });
  await batch(connection, step, 'UPDATE batched SET n = ? WHERE id = ?', [[71, 1], [8000, 2]]);
  await query(connection, step, 'SELECT * FROM batched WHERE id < 3 ORDER BY id');
  await batch(connection, step, 'REPLACE INTO batched (id, s) VALUES (?, ?)', [[1, 'new'], [300, 'other']]);
  await batch(connection, step, 'INSERT INTO batched (id) VALUES (?)', [[400], [400]]);
  await batch(connection, step, 'INSERT IGNORE INTO batched (id, n) VALUES (?, ?)', [[400, 1], [400, 2], [401, 3]]);
  await query(connection, step, 'SHOW WARNINGS');
  await batch(connection, step, 'INSERT INTO batched (id, n) VALUES (?, ?) ON DUPLICATE KEY UPDATE n = n + 1', [[400, 1], [402, 2]], { fullResult: true });
  await batch(connection, step, 'INSERT INTO batched (id, n) VALUES (?, ?) RETURNING id, n', [[500, 1], [501, 2]]);
  await batch(connection, step, 'DELETE FROM batched WHERE id = ?', [[1], [2], [9999]]);
  await batch(connection, step, 'INSERT INTO no_such_table VALUES (?)', [[1], [2]]);
  await batch(connection, step, insert, Array.from({ length: 5000 }, (_, n) => [n % 1000, `row ${n}`, n / 4]));
  await query(connection, step, 'SELECT COUNT(*), SUM(n), SHA2(GROUP_CONCAT(s ORDER BY id), 256) FROM batched');
  // The types change from row to row: several commands, of which all but the first say them anew.
  await batch(connection, step, insert, [[1, 'a', 1], ['2', 'b', 2.5], [3n, 'c', null], [null, 'd', 4]]);
  await query(connection, step, 'SELECT n, s, d FROM batched ORDER BY id DESC LIMIT 4');
  await connection.beginTransaction();
  await batch(connection, 'batch in a transaction', insert, rows);
  await query(connection, 'batch in a transaction', 'SELECT COUNT(*) FROM batched');
  await connection.rollback();
  await query(connection, 'batch in a transaction', 'SELECT COUNT(*) FROM batched');
  const handle = await connection.prepare(insert);
  await answered('a handle after batches', {}, () => handle.execute([3, 'by handle', 1]));
  handle.close();
  for (const size of [5 << 20, (16 << 20) - 40, 20 << 20]) {
    const text = pattern(size / 2).toString('hex');
    await batch(connection, 'large batch', insert, [[1, text, 1], [2, 'small', 2], [3, text, 3]]);
    const [[row]] = await connection.query('SELECT COUNT(*), SUM(LENGTH(s)), SHA2(GROUP_CONCAT(SHA2(s, 256)), 256) FROM batched WHERE LENGTH(s) = ?', [text.length]);
    emit('large batch', shown({ size, row }));
    await query(connection, 'large batch', 'DELETE FROM batched WHERE LENGTH(s) > 1000000');
  }
}

async function resets(connection) {
  const dirty = async () => {
    await connection.query("SET @mine = 1, SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+02:00'");
    await connection.query('CREATE TEMPORARY TABLE scratch (id INT)');
    await connection.query(`SELECT GET_LOCK('${SCHEMA}.reset', 0)`);
    await connection.query('START TRANSACTION');
    await connection.batch('INSERT INTO people (name) VALUES (?)', [['never committed'], ['nor this']]);
  };
  const look = async (step) => {
    await query(connection, step, 'SELECT DATABASE(), @mine IS NULL, @@sql_mode, @@time_zone = @@GLOBAL.time_zone, @@autocommit');
    await query(connection, step, 'SELECT * FROM scratch');
    await query(connection, step, `SELECT IS_FREE_LOCK('${SCHEMA}.reset')`);
    await query(connection, step, "SELECT COUNT(*) FROM people WHERE name IN ('never committed', 'nor this')");
    await execute(connection, step, 'SELECT ? AS prepared_after_reset', [1]);
  };
  await dirty();
  await attempt('reset connection', () => connection.reset());
  await look('reset connection');
  await dirty();
  await attempt('change user', () => connection.changeUser({ user: USER, password: PASSWORD, database: OTHER }));
  await query(connection, 'change user', `USE ${SCHEMA}`);
  await look('change user');
}

async function streaming(connection) {
  const sql =
    'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) ' +
    'SELECT a.i, REPEAT(SHA2(a.i * b.i, 256), 16) FROM n a, n b WHERE b.i <= 10 ORDER BY b.i, a.i';
  const hash = createHash('sha256');
  let count = 0;
  for await (const row of connection.queryStream({ sql, rowsAsArray: true, metaAsArray: false })) {
    hash.update(row.join(''));
    count++;
  }
  emit('large result, streamed', { rows: count, sha256: hash.digest('hex') });
}

async function largePackets(connection) {
  await query(connection, 'large packets', 'CREATE TABLE large (id INT PRIMARY KEY, data LONGBLOB)');
  let id = 0;
  for (const size of [(16 << 20) - 1, 16 << 20, 20 << 20])
    for (const protocol of ['query', 'execute']) {
      const data = pattern(size);
      await connection[protocol]('INSERT INTO large VALUES (?, ?)', [++id, data]);
      const [[[back, sha2]]] = await connection[protocol]('SELECT data, SHA2(data, 256) FROM large WHERE id = ?', [id]);
      emit('large packets', { protocol, same: data.equals(back), sha2, ...digest(back) });
    }
  await query(connection, 'large packets', 'DROP TABLE large');
}

async function readYourWrites(connection) {
  await query(connection, 'read your writes', 'CREATE TABLE mine (id INT AUTO_INCREMENT PRIMARY KEY, n INT)');
  const wrong = [];
  for (let n = 1; n <= 100; n++) {
    await connection.batch('INSERT INTO mine (n) VALUES (?)', [[n], [-n]]);
    const [[seen]] = await connection.execute('SELECT COUNT(*), MAX(n) FROM mine');
    if (Number(seen[0]) !== 2 * n || seen[1] !== n) wrong.push([n, shown(seen)]);
  }
  emit('read your writes', { rounds: 100, wrong });
}

const connection = await connecting();
for (const [step, sql] of statements(SCHEMA)) await query(connection, step, sql);
await options();
await query(connection, 'procedure', 'CREATE PROCEDURE doubles (IN a INT, OUT b INT) BEGIN SELECT a; SELECT a, a; SET b = a * 2; END');
await query(connection, 'procedure', 'CALL doubles(21, @d)');
await prepared(connection);
await pipelined(connection);
await batches(connection);
await resets(connection);
await streaming(connection);
await largePackets(connection);
await readYourWrites(connection);
await query(connection, 'drop schemas', `DROP DATABASE ${SCHEMA}`);
await query(connection, 'drop schemas', `DROP DATABASE ${OTHER}`);
await connection.end();
emit('disconnect', { done: true });
