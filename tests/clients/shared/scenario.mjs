// The statements that all clients run, and the form in which answers are printed.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

const STATEMENTS = new URL('./statements/', import.meta.url);
const LONG = 700; // longer values are printed as length and digest

// [step, statement] in order: a line `-- name` begins a step, `;` at a line's end ends a statement.
export function* statements(schema) {
  for (const file of readdirSync(STATEMENTS).sort()) {
    const text = readFileSync(new URL(file, STATEMENTS), 'utf8')
      .replaceAll('{schema}', schema)
      .replaceAll('{other}', `${schema}_other`);
    let step = file;
    for (let statement of text.split(';\n')) {
      const heading = /^\s*-- (.*)\n/.exec(statement);
      if (heading) {
        step = heading[1];
        statement = statement.slice(heading[0].length);
      }
      if (statement.trim()) yield [step, statement.trim()];
    }
  }
}

export const emit = (step, answer) => console.log(JSON.stringify({ step, ...answer }));
export const skip = (step, why) => emit(step, { skip: why });

export function digest(data) {
  const bytes = Buffer.from(data);
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

export function plain(value) {
  if (Buffer.isBuffer(value)) return value.length > LONG ? digest(value) : { bytes: value.toString('hex') };
  if (typeof value === 'string' && value.length > LONG) return digest(value);
  if (Array.isArray(value)) return value.map(plain);
  return value;
}

// Two parts of errors are nobody's promise: where the client comes from, and a server's number for a handle.
export const described = (error) => ({
  error: [
    error.code,
    error.errno,
    error.sqlState,
    error.message.replace(/'@'[^']*'/, "'@'HOST'").replace(/handler \(\d+\)/, 'handler (ID)'),
  ],
});

// Bytes that do not repeat in a packet's or a buffer's rhythm.
export function pattern(size) {
  const unit = Buffer.concat([...Array(313).keys()].map((n) => createHash('sha256').update(String(n)).digest()));
  return Buffer.alloc(size, unit);
}
