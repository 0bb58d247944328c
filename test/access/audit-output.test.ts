// The audit of a real process: on standard output, whatever the level of the log.
import test from 'ava';
import { openGuard } from '../support/guarded.ts';
import { startReplicaProcess } from '../support/replica-process.ts';
import { asksForTokens, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { newTestKeys } from '../support/visitors.ts';
import { openWorld } from '../support/world.ts';

const keys = newTestKeys();
const world = await openWorld({ settings: asksForTokens(...keys.accepted) });
const token = await tokenOf(keys.secret, 'admin', { subject: 'ada' });

test.after.always(() => world.close());

test('the audit is on standard output and in the ring although no other line of its level is', async (t) => {
  await using stack = new AsyncDisposableStack();
  const guard = stack.adopt(openGuard(), (it) => it.close());
  const { database, redis } = world.settings;
  const env = {
    PATH: process.env.PATH,
    NODE_ENV: 'test',
    LOG_LEVEL: 'warn',
    LOG_RING_LEVEL: 'error',
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    REDIS_PREFIX: redis.prefix,
    INDEPENDENCE_FOLDER: world.folder,
    AUTH_KEYS: JSON.stringify({ keys: keys.accepted }),
    ...(process.env.NODE_COMPILE_CACHE === undefined
      ? {}
      : { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE }),
  };
  const child = stack.adopt(await startReplicaProcess(env, guard), (it) => it.kill());
  const made = await fetch(`${child.url}/api/v1/controller/organizations`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'x-request-id': 'on-standard-output',
    },
    body: JSON.stringify({ org_id: 'heard', name: 'Heard' }),
  });
  t.is(made.status, 201);
  const lines = () => {
    const written = child
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{'));
    return written.map((line) => JSON.parse(line));
  };
  await until('the line of the audit', () => lines().some(({ event }) => event === 'audit'));
  const informed = lines().filter(({ level }) => level === 'INFO');
  t.deepEqual(
    informed.map(({ audit }) => audit),
    [
      {
        sub: 'ada',
        role: 'admin',
        action: 'organization.create',
        call: 'POST /api/v1/controller/organizations',
        organization_id: 'heard',
        outcome: 'done',
        request_id: 'on-standard-output',
      },
    ],
  );
  const admin = world.replica(0).as(token);
  // Its own lines a replica awaits; those of another come when that has written them.
  const { body, ofChild } = await until('the line of the audit in the ring', async () => {
    const { body } = await admin.get('/api/v1/internal/logs?limit=1000');
    const ofChild = body.data.items.filter((line: { node_id: string }) => line.node_id === child.nodeId);
    return ofChild.length > 0 && { body, ofChild };
  });
  t.deepEqual(
    ofChild.map(({ audit }: { audit: { request_id: string } }) => audit.request_id),
    ['on-standard-output'],
  );
  const [, claims = '', signature = ''] = token.split('.');
  for (const part of [claims, signature])
    t.false(child.output().includes(part) || JSON.stringify(body).includes(part));
});
