// Postgres over TLS, by what DATABASE_URL says of it: whom is trusted, who is refused, and in which words.
import { spawn } from 'node:child_process';
import { chown, realpath, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { createAuthority } from '../support/certificates.ts';
import { type Cluster, openCluster } from '../support/cluster.ts';
import { until } from '../support/until.ts';

const stack = new AsyncDisposableStack();
let cluster: Cluster;
/** Files with the certificate of the authority that certified the server, and of one that did not. */
let trusted: string;
let foreign: string;
let beforeTls: { code: number | null; output: string };

test.before(async (t) => {
  t.timeout(60_000);
  // A certificate is refused in the time that a busy machine takes, not at the end of a time-out.
  const database = { connectTimeoutMs: 20_000, readTimeoutMs: 20_000 };
  cluster = stack.use(await openCluster({ replicas: 0, config: { database } }));
  const [authority, other] = await Promise.all([createAuthority(), createAuthority()]);
  trusted = join(cluster.folder, 'ca.pem');
  foreign = join(cluster.folder, 'other.pem');
  await writeFile(trusted, authority.ca);
  await writeFile(foreign, other.ca);
  beforeTls = await migrate(at('localhost', { sslmode: 'verify-full', sslrootcert: trusted }));

  const { cert, key } = await authority.issue('localhost');
  const home = await realpath(join(cluster.folder, 'postgres'));
  const { uid, gid } = await stat(home);
  for (const [name, content] of [
    ['server.crt', cert],
    ['server.key', key],
  ] as const) {
    const file = join(home, 'data', name);
    await writeFile(file, content, { mode: 0o600 });
    await chown(file, uid, gid);
  }
  await cluster.sql('ALTER SYSTEM SET ssl = on');
  await cluster.sql('SELECT pg_reload_conf()');
  await until('TLS', async () => (await cluster.sql('SHOW ssl'))[0]?.ssl === 'on');
});
test.after.always(() => stack.disposeAsync());

function at(host: string, parameters: Record<string, string>): string {
  const url = new URL(cluster.postgres.url);
  url.hostname = host;
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}

async function migrate(url: string, env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, ['src/database/migrate-command.ts'], {
    env: { ...process.env, DATABASE_URL: url, ...env },
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, out, err] = await Promise.all([closed, text(child.stdout), text(child.stderr)]);
  return { code, output: out + err };
}

const ours = `SELECT bool_and(ssl) AS encrypted, count(*)::int AS count FROM pg_stat_ssl
  JOIN pg_stat_activity USING (pid) WHERE application_name = 'moolai-controller'`;

for (const [by, parameters, env] of [
  ['sslrootcert', () => ({ sslrootcert: trusted }), () => ({})],
  ['NODE_EXTRA_CA_CERTS', () => ({}), () => ({ NODE_EXTRA_CA_CERTS: trusted })],
] as const)
  test.serial(`a server whose authority ${by} names is trusted, and all goes over TLS`, async (t) => {
    const replica = await cluster.startReplica({
      env: { DATABASE_URL: at('localhost', { sslmode: 'verify-full', ...parameters() }), ...env() },
    });
    await until('readiness', async () => (await replica.api.get('/health/ready')).status === 200);
    t.is((await replica.api.get('/api/v1/controller/organizations')).status, 200);
    const [row] = await cluster.sql(ours);
    t.true(Number(row?.count) > 0);
    t.true(row?.encrypted);
    t.is((await replica.stop()).code, 0);
  });

test.serial('a server of another authority is refused, and the process says so and ends', async (t) => {
  const error = await t.throwsAsync(
    cluster.startReplica({
      env: { DATABASE_URL: at('localhost', { sslmode: 'verify-full', sslrootcert: foreign }) },
    }),
  );
  t.regex(
    error?.message ?? '',
    /\nThe controller could not start: Postgres at localhost:\d+ \(DATABASE_URL\) cannot be used: [^\n]*certificate[^\n]*: its certificate is of no authority that sslrootcert or NODE_EXTRA_CA_CERTS names\n/,
  );
  t.false(error?.message.includes(new URL(cluster.postgres.url).password));
});

test('each sslmode verifies all or nothing, as the README has it', async (t) => {
  const upToDate = { code: 0, output: 'The schema is up to date.\n' };
  const isUntrusted = /^The migration failed: [^\n]*: its certificate is of no authority that [^\n]*\n$/;
  const cases: [host: string, parameters: Record<string, string>, expected: typeof upToDate | RegExp][] = [
    ['localhost', { sslmode: 'verify-full', sslrootcert: trusted }, upToDate],
    ['localhost', { sslmode: 'require', sslrootcert: trusted }, upToDate],
    ['localhost', { sslmode: 'verify-full' }, isUntrusted],
    ['localhost', { sslmode: 'require' }, isUntrusted],
    ['localhost', { sslmode: 'prefer' }, isUntrusted],
    ['localhost', { sslmode: 'verify-ca', sslrootcert: foreign }, isUntrusted],
    ['localhost', { sslmode: 'no-verify' }, upToDate],
    ['localhost', { sslmode: 'require', uselibpqcompat: 'true' }, upToDate],
    ['localhost', { sslmode: 'disable' }, upToDate],
    // An address is no name of the certificate's.
    [
      '127.0.0.1',
      { sslmode: 'verify-full', sslrootcert: trusted },
      /127\.0\.0\.1[^\n]*: the host in the URL must be one of its certificate's names\n$/,
    ],
    [
      'localhost',
      { sslmode: 'verify-full', sslrootcert: '/nowhere.pem' },
      /^The migration failed: DATABASE_URL cannot be used: ENOENT[^\n]*'\/nowhere\.pem'\n$/,
    ],
  ];
  // Not all at once: each is a process.
  for (let next = 0; next < cases.length; next += 4)
    await Promise.all(
      cases.slice(next, next + 4).map(async ([host, parameters, expected]) => {
        const found = await migrate(at(host, parameters));
        const what = JSON.stringify([host, parameters]);
        if (expected instanceof RegExp) {
          t.is(found.code, 1, what);
          t.regex(found.output, expected, what);
        } else t.deepEqual(found, expected, what);
      }),
    );
});

test('a server that has no TLS is refused where it is asked for', (t) => {
  t.is(beforeTls.code, 1);
  t.regex(beforeTls.output, /does not support SSL connections: sslmode asks for TLS\n$/);
});
