// The schema's step: `npm run migrate`, as an operator calls it.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { MikroORM } from '@mikro-orm/postgresql';
import test from 'ava';
import { migrationNames } from '../../src/database/migrations/names.ts';
import { openProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

interface Ran {
  code: number | null;
  output: string;
}

function start(databaseUrl: string, flags: string[] = []) {
  return spawn(process.execPath, ['src/database/migrate-command.ts', ...flags], {
    env: { ...process.env, DATABASE_URL: databaseUrl },
  });
}

async function endOf(child: ReturnType<typeof start>): Promise<Ran> {
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, out, err] = await Promise.all([closed, text(child.stdout), text(child.stderr)]);
  return { code, output: out + err };
}

const migrate = (databaseUrl: string, flags: string[] = []): Promise<Ran> => endOf(start(databaseUrl, flags));

/** A database without anything in it. */
async function openEmpty(): Promise<{ url: string } & AsyncDisposable> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await world.sql(`CREATE DATABASE ${name}`);
  const url = new URL(world.settings.database.url);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    [Symbol.asyncDispose]: async () => void (await world.sql(`DROP DATABASE ${name} WITH (FORCE)`)),
  };
}

test.serial('a database that is up to date is left as it is', async (t) => {
  const { code, output } = await migrate(world.settings.database.url);
  t.is(output, 'The schema is up to date.\n');
  t.is(code, 0);
});

test.serial('a database without tables gets them, once, though two migrate at the same time', async (t) => {
  await world.sql('DROP SCHEMA public CASCADE');
  await world.sql('CREATE SCHEMA public');
  const both = await Promise.all([
    migrate(world.settings.database.url),
    migrate(world.settings.database.url),
  ]);
  t.deepEqual(
    both.map(({ code }) => code),
    [0, 0],
  );
  t.is(both.filter(({ output }) => output.includes('applied 2026-11-23-tables')).length, 1);
  const [row] = await world.sql('SELECT count(*)::int AS applied FROM schema_migrations');
  t.is(row?.applied, migrationNames.length);
});

test.serial('a database that does not exist is not made, but named', async (t) => {
  const url = new URL(world.settings.database.url);
  url.pathname = '/a_slip_of_the_pen';
  const { code, output } = await migrate(url.href);
  t.is(code, 1);
  t.regex(output, /^The migration failed: database "a_slip_of_the_pen" does not exist\n$/);
  t.deepEqual(await world.sql("SELECT 1 FROM pg_database WHERE datname = 'a_slip_of_the_pen'"), []);
});

test.serial('without DATABASE_URL it says what to set', async (t) => {
  const { code, output } = await migrate('');
  t.is(code, 2);
  t.regex(output, /^DATABASE_URL is not set/);
});

test('a migration that fails leaves nothing of itself', async (t) => {
  await using empty = await openEmpty();
  const orm = await MikroORM.init({
    clientUrl: empty.url,
    entities: [],
    discovery: { warnWhenNoEntities: false },
    ensureDatabase: false,
  });
  t.teardown(() => orm.close(true));
  // The last that the first migration makes.
  await orm.driver.execute('CREATE TABLE orchestrator_messages ()');
  const { code, output } = await migrate(empty.url);
  t.is(code, 1);
  t.regex(output, /^The migration failed: [^\n]*"orchestrator_messages" already exists/);
  const tables = await orm.driver.execute<Record<string, unknown>[]>(
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'org%'",
  );
  t.deepEqual(tables, []);
});

test('--wait ends at once where nothing is missing', async (t) => {
  await using empty = await openEmpty();
  t.is((await migrate(empty.url)).code, 0);
  const waited = await migrate(empty.url, ['--wait', '0']);
  t.deepEqual(waited, { code: 0, output: 'The schema is up to date.\n' });
});

test('--wait ends when another process has migrated', async (t) => {
  await using empty = await openEmpty();
  const waiting = start(empty.url, ['--wait', '30']);
  const ended = endOf(waiting);
  const [first] = await once(waiting.stdout, 'data');
  t.regex(String(first), /^Waiting for the database at 127\.0\.0\.1:\d+: it has no tables yet\n$/);
  t.is((await migrate(empty.url)).code, 0);
  const { code, output } = await ended;
  t.is(code, 0);
  t.regex(output, /\nThe schema is up to date\.\n$/);
});

test('--wait ends with 1 and says why, where the schema does not come', async (t) => {
  await using empty = await openEmpty();
  const { code, output } = await migrate(empty.url, ['--wait', '1']);
  t.is(code, 1);
  t.regex(output, /^The schema is not there: not within 1 s: it has no tables yet\n$/m);
});

test('--patience waits for a Postgres that does not answer yet, migrates once it does, and gives up with 1 where it does not', async (t) => {
  await using stack = new AsyncDisposableStack();
  const empty = stack.use(await openEmpty());
  const proxy = stack.adopt(await openProxy(), (it) => it.close());
  const url = proxy.through(empty.url);
  proxy.cut();
  const given = await migrate(url, ['--patience', '1']);
  t.is(given.code, 1);
  t.regex(given.output, /^The migration failed: not within 1 s: .*\n$/m);
  const migrating = start(url, ['--patience', '60']);
  const ended = endOf(migrating);
  const [first] = await once(migrating.stdout, 'data');
  t.regex(String(first), /^Waiting for the database at 127\.0\.0\.1:\d+: /);
  proxy.mend();
  const { code, output } = await ended;
  t.is(code, 0, output);
  t.regex(output, /applied 2026-11-23-tables\n/);
  const both = await migrate(url, ['--patience', '1', '--wait', '1']);
  t.is(both.code, 2);
  t.regex(both.output, /^--patience is of a migration, --wait of who waits for one: say either\n/);
});

test('--wait waits for a Postgres that is not there, and says so about every five seconds', async (t) => {
  const nowhere = 'postgres://someone:hunter2@127.0.0.1:9/x';
  const waiting = start(nowhere, ['--wait', '60']);
  const toldAtMs: number[] = [];
  let output = '';
  waiting.stdout.on('data', (chunk: Buffer) => {
    toldAtMs.push(performance.now());
    output += chunk.toString();
  });
  await until('it to be told twice', () => toldAtMs.length === 2);
  waiting.kill();
  await endOf(waiting);
  t.true(Number(toldAtMs[1]) - Number(toldAtMs[0]) > 4_500);
  t.regex(output, /^(Waiting for the database at 127\.0\.0\.1:9: connect ECONNREFUSED 127\.0\.0\.1:9\n){2}$/);
  t.deepEqual(await migrate(nowhere, ['--wait', '0']), {
    code: 1,
    output: 'The schema is not there: not within 0 s: connect ECONNREFUSED 127.0.0.1:9\n',
  });
});

test('--help says what it does, and what is no flag is refused with the same', async (t) => {
  const [help, unknown, soon] = await Promise.all([
    migrate(world.settings.database.url, ['--help']),
    migrate(world.settings.database.url, ['--now']),
    migrate(world.settings.database.url, ['--wait', 'soon']),
  ]);
  t.is(help.code, 0);
  t.regex(help.output, /^Usage: [\s\S]*--wait SECONDS[\s\S]*Exit codes: 0 /);
  t.deepEqual([unknown.code, soon.code], [2, 2]);
  t.regex(unknown.output, /--now[\s\S]*Usage: /);
  t.regex(soon.output, /^--wait must be a number of seconds\n\nUsage: /);
});
