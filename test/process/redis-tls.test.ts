// Redis over TLS, with an authority of the operator's own: a server, a cluster, and sentinels with their master.
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { createLogs } from '../../src/log.ts';
import { openRedis } from '../../src/redis/connection.ts';
import { isRedisAway } from '../../src/redis/failures.ts';
import { createAuthority } from '../support/certificates.ts';
import { type Cluster, openCluster } from '../support/cluster.ts';
import { openGuard } from '../support/guarded.ts';
import { connectOrchestrator } from '../support/orchestrator.ts';
import { freePort } from '../support/own-stores.ts';
import { password, startRedisProcess } from '../support/redis-process.ts';
import { until } from '../support/until.ts';

const stack = new AsyncDisposableStack();
test.after.always(() => stack.disposeAsync());

let cluster: Cluster;
let folder: string;
let urls: Record<'server' | 'cluster' | 'sentinel', string>;

test.before(async (t) => {
  t.timeout(60_000);
  const guard = stack.adopt(openGuard(), (it) => it.close());
  folder = await mkdtemp(join(tmpdir(), 'moolai-redis-tls-'));
  guard.remove(folder);
  const authority = await createAuthority();
  await writeFile(join(folder, 'ca.pem'), authority.ca);
  const tls = { ca: authority.ca, ...(await authority.issue('127.0.0.1', 'localhost')) };
  const start = async (name: string, sentinel: boolean, lines: readonly string[]) => {
    const one = await startRedisProcess({ folder, guard }, { name, sentinel, tls, lines: () => lines });
    stack.defer(() => one.client.disconnect());
    return one;
  };
  const busPort = await freePort();
  const [server, node] = await Promise.all([
    start('server', false, []),
    start('node', false, ['cluster-enabled yes', `cluster-port ${busPort}`]),
  ]);
  await node.client.cluster('ADDSLOTSRANGE', 0, 16_383);
  const sentinel = await start('sentinel', true, [
    `sentinel monitor under-tls 127.0.0.1 ${server.port} 1`,
    `sentinel auth-pass under-tls ${password}`,
  ]);
  const at = (port: number) => `:${password}@127.0.0.1:${port}`;
  urls = {
    server: `rediss://${at(server.port)}`,
    cluster: `rediss-cluster://${at(node.port)}`,
    // A database of its own: it is the same server.
    sentinel: `rediss-sentinel://${at(sentinel.port)}/under-tls?db=1&sentinel_password=${password}`,
  };
  cluster = stack.use(await openCluster({ replicas: 0 }));
});

for (const kind of ['server', 'cluster', 'sentinel'] as const) {
  test.serial(`Redis over TLS is used where its authority is trusted: ${kind}`, async (t) => {
    t.timeout(60_000);
    const replica = await cluster.startReplica({
      env: { REDIS_URL: urls[kind], NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') },
    });
    await until('readiness', async () => (await replica.api.get('/health/ready')).status === 200);
    const orchestrator = await connectOrchestrator(replica.url);
    await orchestrator.handshake(kind);
    t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
    const sent = await replica.api.post(`/api/v1/internal/orchestrators/${kind}/send`, { type: 'note' });
    t.is(sent.status, 200, JSON.stringify(sent.body));
    orchestrator.close();
    await replica.stop();
  });
}

test.serial('a Redis whose authority is not trusted is refused, which the log says in words', async (t) => {
  for (const kind of ['server', 'cluster', 'sentinel'] as const) {
    const lines: { message: string }[] = [];
    const write = (line: string) => void lines.push(JSON.parse(line));
    const { log } = createLogs({ level: 'silent', ringLevel: 'debug', nodeId: 'node-x', ring: { write } });
    // This process trusts no authority of a test.
    const redis = openRedis({ url: urls[kind], prefix: 'moolai', commandTimeoutMs: 1_500, log });
    const told = await until('the log to say so', () => lines[0]?.message);
    t.regex(
      told,
      /^Redis is away: its certificate is not trusted \(.*\): NODE_EXTRA_CA_CERTS names a file/,
      kind,
    );
    const refused = await t.throwsAsync(redis.ping());
    t.true(isRedisAway(refused));
    t.false(JSON.stringify(lines).includes(password));
    await redis.close();
  }
});
