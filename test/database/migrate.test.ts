// The schema's step: `npm run migrate`, as an operator calls it.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

async function migrate(databaseUrl: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['src/database/migrate-command.ts'], {
    env: { ...process.env, DATABASE_URL: databaseUrl },
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, out, err] = await Promise.all([closed, text(child.stdout), text(child.stderr)]);
  return { code, output: out + err };
}

test.serial('a database that is up to date is left as it is', async (t) => {
  const { code, output } = await migrate(world.settings.database.url);
  t.is(output, 'The schema is up to date.\n');
  t.is(code, 0);
});

test.serial('a database without tables gets them, once, though two migrate at the same time', async (t) => {
  await world.sql(
    'DROP TABLE orchestrator_messages, orchestrator_instances, organizations, schema_migrations CASCADE',
  );
  await world.sql('DROP SEQUENCE connection_epochs');
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
  t.is(row?.applied, 1);
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
