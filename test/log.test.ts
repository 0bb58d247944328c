// What a line of the log tells of a failure, and what it keeps to itself.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { openDatabase } from '../src/database/database.ts';
import { Organization } from '../src/database/organizations.ts';
import { createLogs } from '../src/log.ts';
import { isoTime } from './support/answers.ts';
import { openWorld } from './support/world.ts';

const secret = 'hunter2-never-told';

/** A log whose lines the test holds, as the ring would. */
function openLog() {
  const lines: string[] = [];
  const ring = { write: (line: string) => lines.push(line) };
  const { log } = createLogs({ level: 'silent', ringLevel: 'debug', nodeId: 'node-1', ring });
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? 'null') };
}

/** What Postgres throws of a row that a constraint refuses: its detail repeats the row. */
async function refusalOf(name: string): Promise<Error> {
  await using stack = new AsyncDisposableStack();
  const world = stack.adopt(await openWorld(), (it) => it.close());
  const { log } = openLog();
  const database = stack.adopt(await openDatabase({ ...world.settings.database, log }), (it) => it.close());
  const at = new Date();
  try {
    await database.fork().insert(Organization, {
      organizationId: 'refused-1',
      name,
      location: 'unknown',
      // @ts-expect-error: what the table's own check is there to refuse.
      status: 'splendid',
      isIndependent: false,
      features: {},
      settings: {},
      metadata: {},
      createdAt: at,
      updatedAt: at,
    });
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('the row was taken');
}

test('a row that Postgres refused is told by its message and code, without its values', async (t) => {
  const refusal = await refusalOf(secret);
  t.true(refusal.message.includes(secret), 'the error itself repeats the row');
  const { log, lines, last } = openLog();

  log.error({ error: refusal }, 'failed');
  const { error } = last();
  t.is(
    error.message,
    'new row for relation "organizations" violates check constraint "organizations_status_check"',
  );
  t.is(error.code, '23514');
  t.is(error.type, 'CheckConstraintViolationException');
  t.regex(error.stack, /^\s*at /);

  log.error({ error: new Error('not written', { cause: refusal }) }, 'failed');
  t.like(last().error, { message: 'not written', causes: [{ message: error.message, code: '23514' }] });
  t.is(lines.length, 2);
  t.false(lines.join().includes(secret));
});

test('a value that looks like a line of the stack is not told as one', async (t) => {
  const refusal = await refusalOf(`a\n    at ${secret}`);
  const { log, lines } = openLog();
  log.error({ error: refusal }, 'failed');
  log.error({ error: new Error('not written', { cause: refusal }) }, 'failed');
  t.is(lines.length, 2);
  t.false(lines.join().includes(secret));
});

test('the cause of an error is told, and the cause of that', (t) => {
  const { log, last } = openLog();
  const refused = Object.assign(new TypeError('refused'), { code: 'ECONNREFUSED' });
  const wrapped = new Error('no connection', { cause: refused });

  log.warn({ error: new RangeError('no answer', { cause: wrapped }) }, 'failed');

  const { error } = last();
  t.like(error, { type: 'RangeError', message: 'no answer' });
  t.like(error.causes, [{ type: 'Error', message: 'no connection' }]);
  t.like(error.causes[0].causes, [{ type: 'TypeError', message: 'refused', code: 'ECONNREFUSED' }]);
  t.false('causes' in error.causes[0].causes[0]);
});

test('the errors of an AggregateError are each told', (t) => {
  const { log, last } = openLog();
  const errors = ['::1', '127.0.0.1'].map((host) => new Error(`nobody at ${host}`));

  log.warn({ error: new AggregateError(errors, 'nobody anywhere') }, 'failed');

  const { error } = last();
  t.like(error, { type: 'AggregateError', message: 'nobody anywhere' });
  t.deepEqual(
    error.causes.map((cause: Error) => cause.message),
    ['nobody at ::1', 'nobody at 127.0.0.1'],
  );
});

test('an error whose causes go in a circle is told all the same', (t) => {
  const { log, last } = openLog();
  const circular = new Error('round');
  circular.cause = circular;

  log.warn({ error: circular }, 'failed');

  t.is(last().error.message, 'round');
});

test('a line is one line, names its source once, and its own where it has one', (t) => {
  const { log, lines } = openLog();
  log.debug({ event: 'keepalive', orchestrator_id: 'o-1' }, 'heard\nof it');
  log.info('plain');
  log.info({ source: 'queue', event: 'start' }, 'its own');
  log.warn({ error: new Error('x'), source: 'redis' }, 'its own, of a failure');
  t.true(lines.every((line) => line.indexOf('\n') === line.length - 1));
  t.deepEqual(
    lines.map((line) => line.match(/"source":"\w+"/g)),
    [['"source":"controller"'], ['"source":"controller"'], ['"source":"queue"'], ['"source":"redis"']],
  );
  const { timestamp, ...first } = JSON.parse(lines[0] ?? '');
  t.deepEqual(first, {
    level: 'DEBUG',
    node_id: 'node-1',
    source: 'controller',
    event: 'keepalive',
    orchestrator_id: 'o-1',
    message: 'heard\nof it',
  });
  t.regex(timestamp, isoTime);
});

test('the time of a line is when it was written', async (t) => {
  const { log, last } = openLog();
  const started = Date.now();
  for (let now = started; now < started + 20; now = Date.now()) {
    log.debug('told');
    const told = Date.parse(last().timestamp);
    t.true(told >= now && told <= Date.now(), `${last().timestamp} at ${now}`);
  }
});

for (const key of [
  'database_url',
  'redis_url',
  'environment_variables',
  'token',
  'authorization',
  'password',
])
  test(`the ${key} of a line is hidden`, (t) => {
    const { log, lines, last } = openLog();
    for (const value of [secret, { inner: secret }]) log.info({ event: 'register', [key]: value }, 'told');
    t.is(lines.length, 2);
    t.false(lines.join().includes(secret));
    t.like(last(), { event: 'register', message: 'told', [key]: '[hidden]' });
  });

test('a credential in what went wrong is hidden, whichever part of the line tells it', (t) => {
  const { log, lines, last } = openLog();
  const url = `postgres://u:${secret}@db/x`;
  const failure = new Error(`no connection to ${url}`, { cause: new Error(`nobody at ${url}`) });
  failure.stack = `Error\n    at connect (${url})`;

  log.error({ error: failure }, `failed at ${url}`);
  log.debug({ error: { url, password: secret } }, `Queue: ${failure.message}`);
  log.warn({ reason: failure.message }, 'not reached');
  log.debug({ reason: { password: secret } }, 'not reached');
  log.warn(`Postgres is away: ${failure.message}\n - detail: Failing row contains (${secret})`);

  t.is(lines.length, 5);
  t.false(lines.join().includes(secret), lines.join());
  t.is(JSON.parse(lines[0] ?? '').message, 'failed at postgres://[hidden]@db/x');
  t.is(JSON.parse(lines[2] ?? '').reason, 'no connection to postgres://[hidden]@db/x');
  t.is(last().message, 'Postgres is away: no connection to postgres://[hidden]@db/x');
});

/** How a process begins that logs to standard output. */
const logging = `
  import { createLogs } from ${JSON.stringify(new URL('../src/log.ts', import.meta.url).href)};
  const { log } = createLogs({ level: 'info', ringLevel: 'silent', nodeId: 'node-1', ring: { write() {} } });
`;

test('on standard output every line is whole and in its turn, more at once than are written at once', async (t) => {
  const count = 2_000;
  const script = `${logging}
    for (let nth = 0; nth < ${count}; nth += 1) log.info({ nth }, '港 🚢'.repeat(nth % 50));
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script]);
  const lines = (await text(child.stdout)).trimEnd().split('\n');
  t.is(lines.length, count);
  for (const [nth, line] of lines.entries())
    t.like(JSON.parse(line), { nth, message: '港 🚢'.repeat(nth % 50) });
});

test('a process ends though whoever read its lines is gone by then', async (t) => {
  const script = `${logging}
    log.info('first');
    process.once('message', () => {
      for (let nth = 0; nth < 3; nth += 1) log.info('last');
      process.exit(0);
    });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    timeout: 20_000,
    killSignal: 'SIGKILL',
  });
  const ended = once(child, 'exit');
  await once(child.stdout ?? child, 'data');
  child.stdout?.destroy();
  child.send('end');
  t.deepEqual(await ended, [0, null]);
});

const fullDisk = '/dev/full';
if (existsSync(fullDisk))
  test('a disk that is full ends no process, and keeps none from its end', async (t) => {
    await using full = await open(fullDisk, 'w');
    const script = `${logging}
      import { write } from 'node:fs';
      log.info('first');
      write(1, 'refused as the line before', () => {
        log.info('last');
        setImmediate(() => process.exit(0));
      });
    `;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', full.fd, 'inherit'],
      timeout: 20_000,
      killSignal: 'SIGKILL',
    });
    t.deepEqual(await once(child, 'exit'), [0, null]);
  });
