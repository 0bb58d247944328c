// `npm run token` from the outside: what it prints, what it leaves behind, and that a controller takes the token.
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { jwkSetSchema } from '../../src/access/keys.ts';
import { dataOf, errorOf } from '../support/answers.ts';
import { asksForTokens, newPrivateKey, newSecretKey, publicPart } from '../support/tokens.ts';
import { openWorld } from '../support/world.ts';

const secret = newSecretKey();
const signing = newPrivateKey('signing');
const world = await openWorld({ settings: asksForTokens(secret, publicPart(signing)) });
const replica = world.replica(0);
const path = '/api/v1/controller/organizations';

test.after.always(() => world.close());

const tokenFile = fileURLToPath(new URL('../../src/local/token.ts', import.meta.url));
const keysOf = (...keys: object[]) => ({ AUTH_KEYS: JSON.stringify({ keys }) });

async function run(args: string, env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [tokenFile, ...args.split(' ').filter(Boolean)], {
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, out, err };
}

async function mint(t: ExecutionContext, args: string, env: NodeJS.ProcessEnv): Promise<string> {
  const { code, out, err } = await run(args, env);
  t.is(code, 0, err);
  // Alone on standard output: it goes straight into a variable.
  t.regex(out, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  return out.trim();
}

async function newFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'moolai-token-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());

test('a token is one that a controller with the same keys takes, in its role', async (t) => {
  const operator = replica.as(await mint(t, '--role operator --days 30', keysOf(secret)));
  dataOf(t, await operator.post(path, { org_id: 'made', name: 'Made' }), 201);
  errorOf(t, await operator.get('/api/v1/internal/logs'), 403, 'forbidden');
  const foreign = keysOf(newSecretKey());
  errorOf(t, await replica.as(await mint(t, '--role admin', foreign)).get(path), 401, 'unauthorized');
});

test('it is signed with the first key that can sign, and says what was asked for', async (t) => {
  const before = Math.floor(Date.now() / 1_000);
  const { code, out, err } = await run(
    '--role orchestrator --subject gateway --orchestrators o-1,o-2 --organizations acme --days 0.5',
    { ...keysOf(publicPart(newPrivateKey()), signing, secret), AUTH_AUDIENCE: 'another', AUTH_ISSUER: 'me' },
  );
  t.is(code, 0);
  const { iat, exp, ...claims } = claimsOf(out);
  t.deepEqual(claims, {
    ...{ role: 'orchestrator', sub: 'gateway', iss: 'me', aud: 'another' },
    ...{ organizations: ['acme'], orchestrators: ['o-1', 'o-2'] },
  });
  t.true(iat >= before && exp - iat === 43_200);
  t.regex(
    err,
    /^A token of gateway with the role orchestrator, for the orchestrators o-1, o-2, for acme alone, until \S+Z, signed with key signing of AUTH_KEYS\n$/,
  );
  t.is(JSON.parse(Buffer.from(out.split('.')[0] ?? '', 'base64url').toString()).kid, 'signing');
});

test('an orchestrator opens its connection with one', async (t) => {
  const token = await mint(t, '--role orchestrator --subject org-7', keysOf(signing));
  const orchestrator = await replica.open({ token });
  t.is((await orchestrator.handshake('org-7')).orchestrator_id, 'org-7');
});

test('without AUTH_KEYS a key is made once, for its owner alone, and serves from then on', async (t) => {
  const folder = join(await newFolder(t), 'local');
  const file = join(folder, 'auth-keys.json');
  // Two at once agree on one key.
  const [one, two] = await Promise.all([1, 2].map(() => run('--role admin', { LOCAL_FOLDER: folder })));
  t.deepEqual([one?.code, two?.code], [0, 0], `${one?.err}${two?.err}`);
  const told = [one, two].filter((each) => each?.err.startsWith(`A key was made, ${file}: `));
  t.is(told.length, 1);
  t.deepEqual(await readdir(folder), ['auth-keys.json']);
  t.is((await stat(file)).mode & 0o777, 0o600);
  const third = await run('--role viewer', { LOCAL_FOLDER: folder });
  t.regex(
    third.err,
    /^A token of viewer with the role viewer, until \S+Z, signed with key local-\w+ of \S+auth-keys\.json\n$/,
  );

  const { keys } = jwkSetSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  t.is(keys.length, 1);
  const local = await world.grow(asksForTokens(...keys));
  for (const each of [one, two, third]) dataOf(t, await local.as(each?.out.trim() ?? '').get(path));
});

for (const [args, fault] of [
  ['', /^--role: must be one of viewer, operator, admin, orchestrator\n/],
  ['--role root', /^--role: must be one of /],
  ['--role admin --days 0', /^--days: /],
  ['--role admin --days -1', /days/],
  ['--role admin --days soon', /^--days: must be a number\n/],
  ['--role admin --days 3651', /^--days: /],
  ['--role admin --subject é', /^--subject: must be 1 to 255 printable characters/],
  ['--role orchestrator', /^--subject: must be the id of the orchestrator/],
  ['--role orchestrator --subject a/b', /^--subject: must be the id of the orchestrator/],
  ['--role orchestrator --orchestrators ../x', /^--orchestrators: /],
  ['--role admin --organizations a,', /^--organizations: /],
  ['--role admin --forever', /--forever/],
  ['admin', /admin/],
] as const)
  test(`npm run token ${args} is not understood: what is wrong, how it is used, and 2`, async (t) => {
    const { code, out, err } = await run(args, keysOf(secret));
    t.deepEqual([code, out], [2, '']);
    t.regex(err, fault);
    t.true(err.includes('Usage: npm run token -- --role ROLE [options]'));
  });

test('--help tells how it is used, and makes nothing', async (t) => {
  const folder = await newFolder(t);
  const { code, out, err } = await run('--help', { LOCAL_FOLDER: folder });
  t.deepEqual([code, err, await readdir(folder)], [0, '', []]);
  t.regex(out, /^Usage: npm run token/);
});

test('keys that cannot sign are said to be such, with 1, and are not quoted', async (t) => {
  const folder = await newFolder(t);
  await writeFile(join(folder, 'auth-keys.json'), '{"keys":[{"kty":"oct","k":"too-short-secret"}]}');
  const tries: [NodeJS.ProcessEnv, string][] = [
    [keysOf(publicPart(signing)), 'AUTH_KEYS has public keys alone: they verify, and sign nothing\n'],
    [{ AUTH_KEYS: 'too-short-secret' }, 'AUTH_KEYS is no JSON Web Key Set of HS256 or Ed25519 keys\n'],
    [
      { LOCAL_FOLDER: folder },
      `${join(folder, 'auth-keys.json')} is no JSON Web Key Set of HS256 or Ed25519 keys\n`,
    ],
  ];
  for (const [env, message] of tries)
    t.deepEqual(await run('--role admin', env), { code: 1, out: '', err: message });
});
