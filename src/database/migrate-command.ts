// The command `npm run migrate`: migrates what DATABASE_URL names, or waits until another process has.
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { reasonOf } from '../availability.ts';
import { hideCredentialsInText } from '../credentials.ts';
import { refusalOf } from './failures.ts';
import { migrate } from './migrate.ts';
import { type Wait, waitForDatabase, waitForSchema } from './wait.ts';

const usage = `Usage: node src/database/migrate-command.ts [--patience SECONDS | --wait SECONDS]

Brings the database that DATABASE_URL names to the newest schema that this build knows. Several may run at once:
one migrates, the others wait for it.

  --patience SECONDS  waits so long for a database that does not answer yet, and tells why. For a Job that is started
                      together with Postgres.
  --wait SECONDS      changes nothing: waits until the database has every migration that this build knows, and tells
                      what it waits for. For an init container before the replica, which must not run on an older
                      schema.
  --help

Exit codes: 0  the schema is there
            1  the migration failed, or the schema was not there within SECONDS
            2  DATABASE_URL or a flag is missing or wrong; nothing was tried
            130, 143  a signal ended it
`;

const secondsSchema = z.coerce
  .number('must be a number of seconds')
  .min(0, 'must be a number of seconds')
  .max(86_400, 'must be at most 86400 seconds');

// As process 1 of a container it would not be ended by a signal that nobody handles. What is not committed is undone by
// Postgres, as the connection ends with the process.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.on(signal, () => process.exit(code));

process.exitCode = await run();

async function run(): Promise<number> {
  let flags: { patience?: string | undefined; wait?: string | undefined; help?: boolean | undefined };
  try {
    const text = { type: 'string' } as const;
    const options = { patience: text, wait: text, help: { type: 'boolean', short: 'h' } } as const;
    flags = parseArgs({ options }).values;
  } catch (error) {
    return refuse(reasonOf(error));
  }
  if (flags.help === true) {
    process.stdout.write(usage);
    return 0;
  }
  if (flags.patience !== undefined && flags.wait !== undefined)
    return refuse('--patience is of a migration, --wait of who waits for one: say either');
  const asked = flags.wait ?? flags.patience ?? '0';
  const seconds = secondsSchema.safeParse(asked.trim() || 'none');
  if (!seconds.success)
    return refuse(`--${flags.wait === undefined ? 'patience' : 'wait'} ${seconds.error.issues[0]?.message}`);
  const url = process.env.DATABASE_URL ?? '';
  if (url === '')
    return refuse(
      'DATABASE_URL is not set: say which database is meant, for example postgres://user:password@host/moolai',
    );
  if (!URL.canParse(url))
    return refuse('DATABASE_URL is no URL such as postgres://user:password@host/moolai');
  const how = { withinMs: seconds.data * 1_000, tell: (line: string) => console.log(hidden(line)) };
  return flags.wait === undefined ? bringUp(url, how) : wait(url, how);
}

async function bringUp(url: string, patience: Wait): Promise<number> {
  try {
    if (patience.withinMs > 0) await waitForDatabase(url, patience);
    const applied = await migrate(url);
    for (const name of applied) console.log(`applied ${name}`);
    console.log(
      applied.length === 0
        ? 'The schema is up to date.'
        : `The schema is up to date: ${applied.length} applied.`,
    );
    return 0;
  } catch (error) {
    return fail('The migration failed', error);
  }
}

async function wait(url: string, how: Wait): Promise<number> {
  try {
    await waitForSchema(url, how);
    console.log('The schema is up to date.');
    return 0;
  } catch (error) {
    return fail('The schema is not there', error);
  }
}

function refuse(line: string): number {
  console.error(`${line}\n\n${usage}`);
  return 2;
}

function fail(what: string, error: unknown): number {
  const advice = refusalOf(error);
  console.error(hidden(`${what}: ${reasonOf(error)}${advice === undefined ? '' : `: ${advice}`}`));
  return 1;
}

/** A library's message may quote the URL. */
function hidden(line: string): string {
  return hideCredentialsInText(line);
}
