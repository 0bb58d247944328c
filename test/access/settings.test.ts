import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { loadSettings, SettingsError } from '../../src/settings.ts';
import { newPrivateKey, newSecretKey, publicPart } from '../support/tokens.ts';

const stores = { DATABASE_URL: 'postgres://u:p@127.0.0.1/db', REDIS_URL: 'redis://127.0.0.1:6379' };
const load = (env: NodeJS.ProcessEnv) => loadSettings({ env: { ...stores, ...env } });
const setOf = (...keys: object[]) => JSON.stringify({ keys });
const secret = newSecretKey('secret');
const signing = newPrivateKey('signing');

function faultOf(env: NodeJS.ProcessEnv): string {
  try {
    load(env);
  } catch (error) {
    if (error instanceof SettingsError) return error.message;
    throw error;
  }
  throw new Error('the settings were taken');
}

for (const HOST of ['0.0.0.0', '::', '10.1.2.3', 'controller.example.com'])
  test(`without keys a controller does not listen on ${HOST}, and says what there is to do`, (t) => {
    t.is(
      faultOf({ HOST }),
      'auth.keys (AUTH_KEYS): is not set, so anybody who reaches http.host could do anything: give the keys that ' +
        'tokens are signed with (AUTH_KEYS or AUTH_JWKS_URL), listen on a loopback address (HOST=127.0.0.1), or say ' +
        'AUTH=off outright',
    );
    t.is(load({ HOST, AUTH: 'off' }).http.host, HOST);
    t.is(load({ HOST, AUTH_KEYS: setOf(secret) }).http.host, HOST);
    t.is(load({ HOST, AUTH_JWKS_URL: 'https://login.example.com/keys' }).http.host, HOST);
    for (const empty of [{ AUTH_KEYS: '' }, { AUTH_JWKS_URL: '' }])
      t.regex(faultOf({ HOST, ...empty }), /AUTH=off/);
  });

test('in production keys are needed, on loopback as well: a proxy may be in front of it', (t) => {
  for (const env of [
    { NODE_ENV: 'production' },
    { NODE_ENV: 'production', HOST: '127.0.0.1' },
    { AUTH: 'required' },
  ])
    t.regex(faultOf(env), /^auth\.keys \(AUTH_KEYS\): is not set: give the keys .* or say AUTH=off outright/);
  t.is(load({ NODE_ENV: 'production', AUTH: 'off' }).auth.mode, 'off');
});

for (const HOST of ['127.0.0.1', '127.1.2.3', '::1', 'localhost'])
  test(`without keys a controller may listen on ${HOST}`, (t) => {
    t.is(load({ HOST }).auth.keys, null);
  });

test('keys that would not count are a contradiction', (t) => {
  for (const keys of [{ AUTH_KEYS: setOf(secret) }, { AUTH_JWKS_URL: 'https://login.example.com/keys' }])
    t.regex(faultOf({ AUTH: 'off', ...keys }), /^auth\.mode \(AUTH\): keys are given/);
});

test('nothing but off switches it off', (t) => {
  for (const AUTH of ['OFF', 'false', '0', 'none', 'no']) t.regex(faultOf({ AUTH }), /^auth\.mode \(AUTH\)/);
});

test('several keys of both kinds are taken at once, with their private parts or without', (t) => {
  const keys = [
    secret,
    signing,
    publicPart(newPrivateKey()),
    { ...newSecretKey(), use: 'sig', alg: 'HS256' },
  ];
  t.is(load({ AUTH_KEYS: setOf(...keys) }).auth.keys?.length, 4);
});

const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey.export({ format: 'jwk' });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const x25519 = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
const short = Buffer.alloc(31, 'short-secret').toString('base64url');

const bad: [string, string][] = [
  ['no JSON', 'top-secret-key-in-plain-text'],
  ['JSON cut off', setOf(secret).slice(0, -3)],
  ['no set', JSON.stringify(secret)],
  ['a list', JSON.stringify([secret])],
  ['an empty set', setOf()],
  ['a secret of 31 bytes', setOf({ kty: 'oct', k: short })],
  [
    'a secret that is no base64url',
    setOf({ kty: 'oct', k: 'not/base64+url, but long enough to be a secret key' }),
  ],
  ['a secret for another algorithm', setOf({ ...secret, alg: 'HS512' })],
  ['a key that is to encrypt', setOf({ ...secret, use: 'enc' })],
  ['an RSA key', setOf(rsa)],
  ['an elliptic key of another kind', setOf(ec)],
  ['an X25519 key', setOf(x25519)],
  ['an Ed25519 key whose point is none', setOf({ ...signing, x: 'AAAA' })],
  ['an Ed25519 key whose private part is none', setOf({ ...signing, d: 'BBBB' })],
  ['an Ed25519 key whose parts are of two keys', setOf({ ...signing, d: Reflect.get(newPrivateKey(), 'd') })],
  ['a good key with a bad one', setOf(secret, { kty: 'oct', k: short })],
];

for (const [what, AUTH_KEYS] of bad)
  test(`AUTH_KEYS that are ${what} are refused, and not quoted`, (t) => {
    const fault = faultOf({ AUTH_KEYS });
    t.regex(fault, /^auth\.keys\S* \(AUTH_KEYS\)|^auth\.keys/);
    for (const part of AUTH_KEYS.match(/[\w+/-]{12,}/g) ?? []) t.false(fault.includes(part), fault);
  });

test('keys come from an https URL alone, or from this machine; the URL is not quoted', (t) => {
  for (const AUTH_JWKS_URL of [
    'http://login.example.com/keys?key=hidden-part',
    'file:///keys',
    'keys',
    'ftp://a/b',
    'https://user:hidden@login.example.com/keys',
  ]) {
    const fault = faultOf({ AUTH_JWKS_URL });
    t.is(
      fault,
      'auth.jwksUrl (AUTH_JWKS_URL): must be an https URL, or http on this machine, without a user in it',
    );
  }
  t.is(load({ AUTH_JWKS_URL: 'http://127.0.0.1:1/keys' }).auth.jwksUrl, 'http://127.0.0.1:1/keys');
});

async function runMain(env: NodeJS.ProcessEnv): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...stores, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, output: out + err };
}

test('such a start ends at once, with 1 and the reason', async (t) => {
  const [open, leaky] = await Promise.all([
    runMain({ HOST: '0.0.0.0', PORT: '0' }),
    runMain({ PORT: '0', AUTH_KEYS: setOf({ kty: 'oct', k: short }) }),
  ]);
  t.is(open.code, 1);
  t.regex(
    open.output,
    /^The settings cannot be used:\nauth\.keys \(AUTH_KEYS\): is not set.*AUTH=off outright\n$/,
  );
  t.is(leaky.code, 1);
  t.regex(leaky.output, /^The settings cannot be used:\nauth\.keys.*at least 32 bytes/);
  t.false(leaky.output.includes(short));
});
