// What REDIS_URL may say, and that a fault in it never quotes what may be secret.
import test from 'ava';
import { hideCredentialsInText } from '../../src/credentials.ts';
import { parseRedisUrl, type RedisAddress, RedisUrlFault } from '../../src/redis/address.ts';
import { loadSettings, SettingsError } from '../../src/settings.ts';

const node = (host: string, port: number) => ({ host, port });
const understood: Record<string, RedisAddress> = {
  'redis://cache': { kind: 'server', tls: false, nodes: [node('cache', 6379)], db: 0 },
  'redis://:p%40ss@cache:6380/3': {
    kind: 'server',
    tls: false,
    nodes: [node('cache', 6380)],
    password: 'p@ss',
    db: 3,
  },
  'rediss://me:pass@[fd00::1]:6380': {
    kind: 'server',
    tls: true,
    nodes: [node('fd00::1', 6380)],
    username: 'me',
    password: 'pass',
    db: 0,
  },
  'redis-sentinel://s1,s2:26380/main': {
    kind: 'sentinel',
    tls: false,
    nodes: [node('s1', 26_379), node('s2', 26_380)],
    db: 0,
    master: 'main',
    sentinels: { username: undefined, password: undefined },
  },
  'rediss-sentinel://me:pass@s1/main?db=2&sentinel_username=you&sentinel_password=a+b%3D': {
    kind: 'sentinel',
    tls: true,
    nodes: [node('s1', 26_379)],
    username: 'me',
    password: 'pass',
    db: 2,
    master: 'main',
    sentinels: { username: 'you', password: 'a+b=' },
  },
  'redis-cluster://a,b:7001': {
    kind: 'cluster',
    tls: false,
    nodes: [node('a', 6379), node('b', 7001)],
  },
  'rediss-cluster://:pass@a:7000/0': {
    kind: 'cluster',
    tls: true,
    nodes: [node('a', 7000)],
    password: 'pass',
  },
};
for (const [url, address] of Object.entries(understood))
  test(`${url} is understood`, (t) => {
    t.deepEqual(parseRedisUrl(url), address);
  });

const secret = 'hunter22';
const faulty: Record<string, RegExp> = {
  cache: /must be a URL such as redis:\/\//,
  [`memcached://:${secret}@cache`]: /must be a URL such as/,
  [`redis://:${secret}@a@cache`]: /must be a URL such as .*escaped/,
  [`redis://:${secret}@a,b`]: /one host only, unless it begins with redis-sentinel/,
  [`redis://:${secret}@`]: /name each host/,
  [`redis-cluster://:${secret}@a,,b`]: /name each host/,
  [`redis://:${secret}@cache:65536`]: /name each host/,
  [`redis://${secret}@cache`]: /a user without a password/,
  [`redis://:${secret}%@cache`]: /%25/,
  [`redis://:${secret}@cache/main`]: /whole number/,
  [`redis://:${secret}@cache?family=6`]: /no parameters/,
  [`redis-sentinel://:${secret}@s1`]: /end in the name of the master/,
  [`redis-sentinel://:${secret}@s1/main?password=${secret}`]: /db, sentinel_username, sentinel_password/,
  [`redis-sentinel://:${secret}@s1/main?db=${secret}`]: /whole number/,
  [`redis-cluster://:${secret}@a/1`]: /no database/,
};
for (const [url, why] of Object.entries(faulty))
  test(`${url} is a fault that does not quote it`, (t) => {
    const fault = t.throws(() => parseRedisUrl(url), { instanceOf: RedisUrlFault, message: why });
    t.false(fault.message.includes(secret));
    const env = { DATABASE_URL: 'postgres://h/d', REDIS_URL: url };
    const told = t.throws(() => loadSettings({ env }), { instanceOf: SettingsError, message: why });
    t.regex(told.message, /^redis\.url \(REDIS_URL\): /);
    t.false(told.message.includes(secret));
  });

test('where such a URL stands in a text its credentials are hidden', (t) => {
  t.is(
    hideCredentialsInText(
      `reached rediss-sentinel://me:${secret}@s1:26379,s2:26379/main?db=1&sentinel_password=${secret}&x=1`,
    ),
    'reached rediss-sentinel://[hidden]@s1:26379,s2:26379/main?db=1&sentinel_password=[hidden]&x=1',
  );
  t.is(
    hideCredentialsInText(`redis-cluster://:${secret}@a:7000,b:7000`),
    'redis-cluster://[hidden]@a:7000,b:7000',
  );
});
