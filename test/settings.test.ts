// The settings: config/ and the environment, checked once.
import test from 'ava';
import { loadSettings, SettingsError } from '../src/settings.ts';

const stores = { DATABASE_URL: 'postgres://u:p@localhost/db', REDIS_URL: 'redis://localhost:6379' };

/** The faults that settings from this environment have, one a line. */
function faultsOf(t: { throws: (fn: () => unknown) => unknown }, env: NodeJS.ProcessEnv): string[] {
  const error = t.throws(() => loadSettings({ env }));
  if (!(error instanceof SettingsError)) throw new Error('not a SettingsError', { cause: error });
  return error.message.split('\n');
}

test('default.yaml has every setting but the stores', (t) => {
  const settings = loadSettings({ env: stores });
  t.like(settings, {
    http: {
      host: '127.0.0.1',
      port: 8765,
      bodyLimitBytes: 1_048_576,
      trustedProxies: [],
      corsOrigins: [],
      requestTimeoutMs: 30_000,
      headersTimeoutMs: 10_000,
      keepAliveTimeoutMs: 65_000,
      idleTimeoutMs: 60_000,
      maxConnections: 25_000,
    },
    limits: {
      requestsPerAddress: 6_000,
      requestsPerCaller: 3_000,
      windowSeconds: 10,
      handshakesPerAddress: 15_000,
      handshakeWindowSeconds: 60,
      sendWaitsPerCaller: 1_000,
      patienceMs: 200,
      metadataBytes: 32_768,
      jsonDepth: 32,
    },
    socket: {
      heartbeatIntervalMs: 30_000,
      handshakeTimeoutMs: 15_000,
      eventsPerSecond: 100,
      connectionsPerReplica: 20_000,
    },
    presence: { leaseMs: 15_000, renewEveryMs: 5_000 },
    sweep: { unhealthyAfterIntervals: 3, inactiveAfterIntervals: 10 },
    logs: { level: 'info', ringSize: 5_000, auditSize: 2_000 },
  });
  t.is(settings.database.url, stores.DATABASE_URL);
  t.is(settings.redis.url, stores.REDIS_URL);
});

test('NODE_ENV chooses the file beside default.yaml', (t) => {
  t.is(loadSettings({ env: { ...stores, NODE_ENV: 'test' } }).http.port, 0);
  t.is(loadSettings({ env: { ...stores, NODE_ENV: 'test' } }).logs.level, 'silent');
  t.is(loadSettings({ env: { ...stores, NODE_ENV: 'production', AUTH: 'off' } }).http.host, '0.0.0.0');
});

test('the environment overrides the files, with whole numbers where numbers are due', (t) => {
  const settings = loadSettings({
    env: {
      ...stores,
      NODE_ENV: 'production',
      AUTH: 'off',
      HOST: '::1',
      PORT: '9000',
      HEARTBEAT_INTERVAL_MS: '1000',
      DATABASE_POOL_SIZE: '7',
      REDIS_PREFIX: 'mine',
      LOG_LEVEL: 'debug',
      LOG_RING_SIZE: '100',
      LOG_AUDIT_SIZE: '50',
      LIMITS_METADATA_BYTES: '2048',
      LIMITS_JSON_DEPTH: '8',
      INDEPENDENCE_FOLDER: 'elsewhere',
      SHUTDOWN_DEADLINE_MS: '5000',
      RECONNECTS_PER_SECOND: '50',
      TRUSTED_PROXIES: 'loopback, 10.0.0.0/8,2001:db8::/32 ,192.0.2.1,',
      CORS_ORIGINS: 'https://dashboard.example.com,http://localhost:3000',
      LIMITS_REQUESTS_PER_ADDRESS: '1',
      LIMITS_REQUESTS_PER_CALLER: '0',
      LIMITS_WINDOW_SECONDS: '2',
      LIMITS_HANDSHAKES_PER_ADDRESS: '3',
      LIMITS_HANDSHAKE_WINDOW_SECONDS: '4',
      LIMITS_SEND_WAITS_PER_CALLER: '5',
    },
  });
  t.like(settings, {
    http: {
      host: '::1',
      port: 9_000,
      trustedProxies: ['loopback', '10.0.0.0/8', '2001:db8::/32', '192.0.2.1'],
      corsOrigins: ['https://dashboard.example.com', 'http://localhost:3000'],
    },
    limits: {
      requestsPerAddress: 1,
      requestsPerCaller: 0,
      windowSeconds: 2,
      handshakesPerAddress: 3,
      handshakeWindowSeconds: 4,
      sendWaitsPerCaller: 5,
      metadataBytes: 2_048,
      jsonDepth: 8,
    },
    socket: { heartbeatIntervalMs: 1_000 },
    database: { poolSize: 7 },
    redis: { prefix: 'mine' },
    logs: { level: 'debug', ringSize: 100, auditSize: 50 },
    independence: { folder: 'elsewhere' },
    shutdown: { deadlineMs: 5_000, reconnectsPerSecond: 50 },
  });
});

test('NODE_CONFIG overrides the files, and the named variables override it', (t) => {
  const settings = loadSettings({
    env: {
      ...stores,
      NODE_CONFIG: '{"presence":{"leaseMs":2000,"renewEveryMs":500},"http":{"port":1}}',
      PORT: '2',
    },
  });
  t.like(settings, {
    presence: { leaseMs: 2_000, renewEveryMs: 500 },
    http: { host: '127.0.0.1', port: 2 },
    sweep: { everyMs: 2_000 },
  });
  t.is(loadSettings({ env: { ...stores, NODE_CONFIG: '' } }).http.port, 8_765);
});

for (const value of ['{secret', '[]', '"http"', 'null'])
  test(`NODE_CONFIG=${value} is a fault that does not quote it`, (t) => {
    t.deepEqual(faultsOf(t, { ...stores, NODE_CONFIG: value }), [
      'NODE_CONFIG must be a JSON object, such as {"presence":{"leaseMs":15000}}',
    ]);
  });

test('a fault in NODE_CONFIG is one of the setting', (t) => {
  const faults = faultsOf(t, { ...stores, NODE_CONFIG: '{"sweep":{"everyMs":0},"speed":{"of":1}}' });
  t.deepEqual(faults.toSorted(), [
    'speed: no such setting',
    'sweep.everyMs: must be a whole number from 1 to 86400000 (is 0)',
  ]);
});

test('only the environment that is given counts', (t) => {
  t.is(loadSettings({ env: stores }).redis.prefix, 'moolai');
});

test('the settings are frozen, all the way down', (t) => {
  const settings = loadSettings({ env: stores });
  t.true(Object.isFrozen(settings));
  for (const [section, values] of Object.entries(settings)) t.true(Object.isFrozen(values), section);
  t.throws(() => Object.assign(settings.http, { port: 1 }), { instanceOf: TypeError });
});

test('every fault is named at once, with where it is and what is there', (t) => {
  const faults = faultsOf(t, {
    PORT: '70000',
    HEARTBEAT_INTERVAL_MS: 'often',
    REDIS_PREFIX: 'a b',
    LOG_LEVEL: 'loud',
    DATABASE_URL: 'mysql://u:secret@localhost/db',
  });
  t.is(faults.length, 6);
  for (const [at, shown] of [
    ['http.port', '"70000"'],
    ['socket.heartbeatIntervalMs', '"often"'],
    ['redis.prefix', '"a b"'],
    ['logs.level', '"loud"'],
    ['database.url', ''],
    ['redis.url', 'REDIS_URL'],
  ] as const) {
    const fault = faults.find((each) => each.startsWith(`${at} (`));
    t.true(fault?.includes(shown), `${at}: ${fault}`);
  }
  t.false(faults.join().includes('secret'));
});

test('stores that are not given are named by their variable', (t) => {
  t.deepEqual(faultsOf(t, {}).toSorted(), [
    'database.url (DATABASE_URL): is not set: give it in the environment as DATABASE_URL, such as postgres://user:password@host:5432/moolai',
    'redis.url (REDIS_URL): is not set: give it in the environment as REDIS_URL, such as redis://host:6379',
  ]);
});

for (const [variable, path, values] of [
  ['PORT', 'http.port', ['-1', '1.5', 'http', '65536']],
  ['DATABASE_POOL_SIZE', 'database.poolSize', ['3', '501']],
  ['LOG_RING_SIZE', 'logs.ringSize', ['0']],
  ['LOG_AUDIT_SIZE', 'logs.auditSize', ['0']],
  ['SHUTDOWN_DEADLINE_MS', 'shutdown.deadlineMs', ['0', '86400001']],
  ['REDIS_URL', 'redis.url', ['localhost', 'http://localhost']],
  ['DATABASE_URL', 'database.url', ['redis://localhost', 'db']],
  ['DATABASE_READ_URL', 'database.readUrl', ['redis://localhost', 'db']],
  ['DATABASE_POOLER', 'database.pooler', ['session', 'pgbouncer']],
  ['LIMITS_REQUESTS_PER_ADDRESS', 'limits.requestsPerAddress', ['-1', 'many']],
  ['LIMITS_WINDOW_SECONDS', 'limits.windowSeconds', ['0', '0.5', '86401']],
  ['LIMITS_SEND_WAITS_PER_CALLER', 'limits.sendWaitsPerCaller', ['0']],
] as const)
  for (const value of values)
    test(`${variable}=${value} is a fault of ${path}`, (t) => {
      const faults = faultsOf(t, { ...stores, [variable]: value });
      t.is(faults.length, 1);
      t.true(faults[0]?.startsWith(`${path} (${variable}): must be `), faults[0]);
    });

for (const [variable, path, bad, good] of [
  ...[
    '10.0.0.0/33',
    '10.0.0.0/0',
    '10.0.0.0/x',
    '300.0.0.1',
    '1',
    'true',
    'proxy.example.com',
    '2001:db8::/129',
  ].map((bad) => ['TRUSTED_PROXIES', 'http.trustedProxies', bad, '10.0.0.0/8'] as const),
  ...['*', 'null', 'example.com', 'https://example.com/', 'https://*.example.com', 'ftp://example.com'].map(
    (bad) => ['CORS_ORIGINS', 'http.corsOrigins', bad, 'https://example.com'] as const,
  ),
])
  test(`${variable}=${bad} is a fault that names it, among others that are right`, (t) => {
    const faults = faultsOf(t, { ...stores, [variable]: `${good},${bad}` });
    t.is(faults.length, 1);
    t.true(faults[0]?.startsWith(`${path} (${variable}): ${JSON.stringify(bad)} is no `), faults[0]);
  });

test('a list in NODE_CONFIG is checked like one in the environment', (t) => {
  const faults = faultsOf(t, { ...stores, NODE_CONFIG: '{"http":{"trustedProxies":["loopback","x"]}}' });
  t.is(faults.length, 1);
  t.true(faults[0]?.startsWith('http.trustedProxies (TRUSTED_PROXIES): "x" is no address'), faults[0]);
});

test('headers may not take longer than the request that they are a part of', (t) => {
  const http = { headersTimeoutMs: 2_000, requestTimeoutMs: 1_000 };
  t.deepEqual(faultsOf(t, { ...stores, NODE_CONFIG: JSON.stringify({ http }) }), [
    'http.headersTimeoutMs: must be at most http.requestTimeoutMs, of which it is a part (is 2000)',
  ]);
});

test('what may wait is not taken for stalled', (t) => {
  for (const changes of [
    { http: { idleTimeoutMs: 30_000 } },
    { http: { idleTimeoutMs: 40_000 }, socket: { pingIntervalMs: 40_000 } },
  ])
    t.regex(
      faultsOf(t, { ...stores, NODE_CONFIG: JSON.stringify(changes) })[0] ?? '',
      /^http\.idleTimeoutMs: must be more than 30000 and socket\.pingIntervalMs: /,
    );
});

test('without a Postgres for reads, or with an empty name of one, there is none, and no pooler', (t) => {
  for (const env of [stores, { ...stores, DATABASE_READ_URL: '' }])
    t.like(loadSettings({ env }).database, { readUrl: null, pooler: 'none' });
});

test('TLS and the other name of Postgres are URLs of the right kind', (t) => {
  const settings = loadSettings({
    env: { DATABASE_URL: 'postgresql://h/d', REDIS_URL: 'rediss://h:6380/1' },
  });
  t.is(settings.database.url, 'postgresql://h/d');
  t.is(settings.redis.url, 'rediss://h:6380/1');
});

test('an environment that config/ does not know is a fault, and none is the laptop’s', (t) => {
  const urls = { DATABASE_URL: 'postgres://h/d', REDIS_URL: 'redis://h' };
  t.throws(() => loadSettings({ env: { ...urls, NODE_ENV: 'prodution' } }), {
    instanceOf: SettingsError,
    message: 'NODE_ENV is "prodution", but config/ has no prodution.yaml',
  });
  for (const env of [{}, { NODE_ENV: '' }, { NODE_ENV: 'development' }])
    t.is(loadSettings({ env: { ...urls, ...env } }).http.host, '127.0.0.1');
});

test('a URL that is refused is told without its password, also in a variable that is for something else', (t) => {
  const env = { AUTH_JWKS_URL: 'ftp://u:secret@keys.example/set', REDIS_PREFIX: 'redis://:secret@cache' };
  const faults = faultsOf(t, { ...stores, ...env });
  t.is(faults.length, 2);
  t.false(faults.join().includes('secret'));
  t.true(faults.join().includes('(is "redis://[hidden]@cache")'));
});
