// Owns what the campaign meets: a controller, a fleet that is known to it, and the same again after every round.
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Jwk } from '../../src/access/keys.ts';
import { createKeys } from '../../src/redis/keys.ts';
import type { Api } from '../support/api.ts';
import { connectOrchestrator, type TestOrchestrator } from '../support/orchestrator.ts';
import { asksForTokens, newSecretKey, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { openWorld, type Replica, type SettingsChanges, type World } from '../support/world.ts';
import type { Known } from './schema-values.ts';
import { openWire, type Wire } from './wire.ts';
import { countWrites, type Writes } from './writes.ts';

export interface Scene extends AsyncDisposable {
  readonly world: World;
  readonly replica: Replica;
  readonly wire: Wire;
  readonly writes: Writes;
  /** Calls as an administrator. */
  readonly api: Api;
  /** An administrator's. */
  readonly authorization: readonly [name: 'Authorization', value: string];
  /** Ids as a call would name them, and the token of a gateway. */
  readonly known: Known;
  /** The same for handshakes: no id among them is that of a connection which the campaign keeps. */
  readonly knownToGuests: Known;
  /** Makes the fleet what it was; all ids that a call has brought in are gone. */
  reset(): Promise<void>;
  /** A connection without a handshake, for whoever opens it to close. */
  open(): Promise<TestOrchestrator>;
  /** The connection that payloads are sent on, opened anew where one has ended it. */
  session(): Promise<TestOrchestrator>;
  /** Resolves when the end of an orchestrator's connection is written. */
  ended(orchestratorId: string): Promise<unknown>;
  /** Log lines of level ERROR and CRITICAL since the last call. @throws when the ring has lost lines unseen */
  newFaults(): Promise<string[]>;
  /** Below it nothing but the environment files may come to be. */
  readonly root: string;
}

const numbered = (name: string, count: number) =>
  Array.from({ length: count }, (_, at) => `${name}-${at + 1}`);
/** Each an instance and its organization. */
const fleet = numbered('fleet', 6);
/** Ids of nobody, that calls may bring in. */
const strangers = numbered('new', 6);
const live = numbered('live', 2);
export const sessionId = 'session-1';
const messageIds = fleet.flatMap((id) => numbered(`msg_${id}`, 2));

/**
 * Nothing is written that no call asked for: nobody falls silent within a day, and no sweep looks. All comes from one
 * address, as fast as it can.
 */
function settingsOf(folder: string, key: Jwk): SettingsChanges {
  const out = 1_000_000_000;
  return {
    ...asksForTokens(key),
    limits: { requestsPerAddress: out, requestsPerCaller: out, handshakesPerAddress: out },
    socket: { heartbeatIntervalMs: 86_400_000, connectionsPerSecond: out, eventsPerSecond: out },
    sweep: { everyMs: 86_400_000 },
    logs: { ringSize: 500 },
    independence: { folder },
  };
}

export async function openScene(): Promise<Scene> {
  await using opening = new AsyncDisposableStack();
  const root = await mkdtemp(join(String(process.env.TEST_FOLDER), 'campaign-'));
  const key = newSecretKey();
  const settings = settingsOf(join(root, 'some', 'way', 'down'), key);
  const lasting = { expiresAtMs: Date.now() + 86_400_000 };
  const adminToken = await tokenOf(key, 'admin', lasting);
  const orchestrators = [...fleet, ...strangers, ...live, sessionId];
  const gatewayToken = await tokenOf(key, 'orchestrator', { ...lasting, orchestrators });
  const world = opening.adopt(await openWorld({ settings }), (it) => it.close());
  const replica = world.replica(0);
  const api = replica.as(adminToken);
  const wire = opening.adopt(openWire(replica.controller.url), (it) => it.close());
  const writes = await countWrites(world);
  const connected = new Map<string, TestOrchestrator>();
  let session: TestOrchestrator | undefined;

  // Not through the world, which keeps all that it opens.
  const open = () => connectOrchestrator(replica.controller.url, { token: gatewayToken });

  async function connect(id: string): Promise<TestOrchestrator> {
    connected.get(id)?.close();
    const orchestrator = await open();
    await orchestrator.handshake(id);
    // What it is told is not kept: it would be taken for a leak.
    orchestrator.socket.onAny((_event, ...args) => {
      orchestrator.received.length = 0;
      const acknowledge = args.at(-1);
      if (typeof acknowledge === 'function') acknowledge({ received: true });
    });
    connected.set(id, orchestrator);
    return orchestrator;
  }

  // One way there and back for all of it.
  await world.sql(`
    CREATE FUNCTION campaign_reset(kept text[], fleet text[], messages text[]) RETURNS void LANGUAGE sql AS $$
      DELETE FROM orchestrator_messages;
      DELETE FROM orchestrator_instances WHERE orchestrator_id <> ALL (kept);
      DELETE FROM organizations o
      WHERE NOT EXISTS (SELECT FROM orchestrator_instances i WHERE i.organization_id = o.organization_id);
      INSERT INTO organizations (organization_id, name) SELECT id, id FROM unnest(fleet) AS id
      ON CONFLICT DO NOTHING;
      INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name)
      SELECT id, id, id FROM unnest(fleet) AS id;
      INSERT INTO orchestrator_messages (id, orchestrator_id, message_type, content)
      SELECT id, substring(id from 'msg_(.*)-\\d+'), 'monitoring', 'x' FROM unnest(messages) AS id;
    $$`);

  async function reset(): Promise<void> {
    await world.sql('SELECT campaign_reset($1, $2, $3)', [[...live, sessionId], fleet, messageIds]);
    const { body } = await api.get('/api/v1/controller/orchestrators/live');
    for (const id of live)
      if (!Object.hasOwn(body.data.orchestrators, id) || connected.get(id)?.socket.connected !== true)
        await connect(id);
    await writes.reset();
  }

  const ring = createKeys(world.settings.redis.prefix).logs;
  let lastId = '-';
  let seen = 0;

  const guests = fc.constantFrom(...fleet, ...strangers);
  const anyone = fc.oneof({ weight: 3, arbitrary: guests }, fc.constantFrom(...live));
  const known = (ids: fc.Arbitrary<string>): Known => ({
    ids(pattern) {
      const expression = new RegExp(pattern);
      if (!expression.test('fleet-1')) return undefined;
      // Only a message's may be longer than an orchestrator's.
      return expression.test('x'.repeat(300))
        ? fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...messageIds) }, ids)
        : ids;
    },
    named: { token: fc.constant(gatewayToken) },
  });
  await reset();
  const closing = opening.move();
  return {
    world,
    replica,
    api,
    authorization: ['Authorization', `Bearer ${adminToken}`],
    wire,
    writes,
    root,
    reset,
    open,
    known: known(anyone),
    knownToGuests: known(guests),
    async session() {
      if (session?.socket.connected !== true) {
        session?.close();
        session = await open();
        await session.handshake(sessionId);
        writes.forget();
      }
      return session;
    },
    ended: (id) =>
      until(`the end of ${id} to be written`, async () => {
        const [row] = await world.sql(
          'SELECT status FROM orchestrator_instances WHERE orchestrator_id = $1',
          [id],
        );
        return row?.status !== 'active';
      }),
    async newFaults() {
      // Asked through the replica first, which writes what it holds.
      await api.get('/api/v1/internal/logs?limit=1');
      const entries = await world.redis.xrange(ring, lastId === '-' ? '-' : `(${lastId}`, '+');
      lastId = entries.at(-1)?.[0] ?? lastId;
      seen += entries.length;
      const info = await world.redis.xinfo('STREAM', ring);
      const added = Array.isArray(info) ? Number(info[info.indexOf('entries-added') + 1]) : Number.NaN;
      if (added !== seen) {
        const missed = added - seen;
        seen = added;
        throw new Error(`the ring dropped ${missed} entries before they were seen`);
      }
      return entries
        .flatMap(([, [, lines = '']]) => lines.trimEnd().split('\n'))
        .filter((line) => /"level":"(ERROR|CRITICAL)"/.test(line));
    },
    async [Symbol.asyncDispose]() {
      for (const each of [...connected.values(), session]) each?.close();
      await closing.disposeAsync();
    },
  };
}
