// A heartbeat keeps an orchestrator alive, and is acknowledged once that is committed.
import test from 'ava';
import { writeBeats } from '../../src/database/statements/heartbeats.ts';
import { rowsOf, timeOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const { open, connect } = world.replica(0);

const liveOf = async (id: string) =>
  (await world.api.get(`/api/v1/controller/orchestrators/live/${id}`)).body.data;

const lockOf = (id: string) =>
  world.hold('SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = $1 FOR UPDATE', [id]);

test('a heartbeat is processed: instance, organization and presence say when', async (t) => {
  const orchestrator = await connect('beat-1', { organization_id: 'beat-org' });
  const before = await rowsOf(world, 'beat-1', 'beat-org');
  await world.sql("UPDATE organizations SET status = 'inactive' WHERE organization_id = 'beat-org'");
  await world.sql(
    "UPDATE orchestrator_instances SET status = 'inactive', health_status = 'unhealthy' WHERE orchestrator_id = 'beat-1'",
  );
  world.clock.advance(1_000);
  const from = world.clock.now();

  const ack = await orchestrator.ask('i_am_alive', { type: 'i_am_alive', timestamp: '2026-01-01T00:00:00Z' });

  const { instance, organization } = await rowsOf(world, 'beat-1', 'beat-org');
  t.like(instance, { status: 'active', health_status: 'healthy' });
  t.is(organization?.status, 'active');
  t.deepEqual(organization?.last_seen, instance?.last_seen);
  t.true(timeOf(instance, 'last_seen') >= from);
  t.deepEqual(instance?.updated_at, before.instance?.updated_at);
  t.deepEqual(Object.keys(ack).sort(), ['status', 'ts', 'type']);
  t.like(ack, { type: 'i_am_alive_ack', status: 'processed' });
  t.true(Date.parse(ack.ts) <= timeOf(instance, 'last_seen'));
  await until('presence to say the same', async () => (await liveOf('beat-1')).last_seen === ack.ts);
});

test('a heartbeat that waits for somebody else’s change of its organization is written to that as well', async (t) => {
  const orchestrator = await connect('behind-1', { organization_id: 'behind-org' });
  await using held = await world.hold(
    "UPDATE organizations SET name = 'Changed' WHERE organization_id = 'behind-org'",
  );
  world.clock.advance(1_000);
  const beat = orchestrator.ask('i_am_alive');
  await held.awaited();
  await held.release();
  t.is((await beat).status, 'processed');
  const { instance, organization } = await rowsOf(world, 'behind-1', 'behind-org');
  t.is(organization?.name, 'Changed');
  t.deepEqual(organization?.last_seen, instance?.last_seen);
});

test('a heartbeat whose row is changed whenever it waits for its organization is written all the same', async (t) => {
  const { epoch } = await (await open()).handshake('beat-busy');
  const atMs = world.clock.now() + 60_000;
  const [outcome] = await writeBeats(
    async (statement, parameters = []) => {
      if (!statement.includes('UPDATE')) return world.sql(statement, [...parameters]);
      await using held = await world.hold(
        `WITH o AS (UPDATE organizations SET updated_at = now() WHERE organization_id = $1)
         UPDATE orchestrator_instances SET updated_at = now() WHERE orchestrator_id = $1`,
        ['beat-busy'],
      );
      const answer = world.sql(statement, [...parameters]);
      await held.awaited();
      await held.release();
      return answer;
    },
    [
      {
        ...{ orchestratorId: 'beat-busy', epoch, organizationId: 'beat-busy', nodeId: 'node-busy' },
        ...{ healthStatus: 'degraded', features: undefined, atMs },
      },
    ],
  );
  t.deepEqual(outcome, { kind: 'processed', lastSeenMs: atMs });
  const { instance, organization } = await rowsOf(world, 'beat-busy');
  t.like(instance, { health_status: 'degraded', node_id: 'node-busy' });
  t.is(timeOf(instance, 'last_seen'), atMs);
  t.is(timeOf(organization, 'last_seen'), atMs);
});

test('a heartbeat may report how healthy its orchestrator is', async (t) => {
  const orchestrator = await connect('health-1');
  for (const health of ['degraded', 'unhealthy', 'unknown', 'healthy']) {
    await orchestrator.ask('i_am_alive', { health_status: health });
    t.is((await rowsOf(world, 'health-1')).instance?.health_status, health);
  }
  await orchestrator.ask('i_am_alive', { health_status: 'degraded' });
  await orchestrator.ask('i_am_alive', {});
  t.is((await rowsOf(world, 'health-1')).instance?.health_status, 'healthy');
});

test('a heartbeat needs no payload', async (t) => {
  const orchestrator = await connect('bare-1');
  t.is((await orchestrator.ask('i_am_alive')).status, 'processed');
  t.is((await orchestrator.ask('i_am_alive', null)).status, 'processed');
});

test('a heartbeat with a health that does not exist is refused, and changes nothing', async (t) => {
  const orchestrator = await connect('wrong-1');
  const before = await rowsOf(world, 'wrong-1');
  orchestrator.socket.emit('i_am_alive', { health_status: 'splendid', timestamp: [] });
  const error = await orchestrator.event('error');
  t.like(error, { code: 'invalid_payload', retryable: false });
  t.regex(
    error.message,
    /i_am_alive: .*timestamp: .*health_status: |i_am_alive: .*health_status: .*timestamp: /,
  );
  t.deepEqual(await rowsOf(world, 'wrong-1'), before);
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
});

test('the heartbeat of an independent orchestrator is ignored, and changes nothing anywhere', async (t) => {
  const orchestrator = await connect('free-1');
  await world.api.put('/api/v1/internal/orchestrators/free-1/independence', { is_independent: true });
  const before = { ...(await rowsOf(world, 'free-1')), live: await liveOf('free-1') };
  const marker = await connect('marker-1');
  world.clock.advance(1_000);

  const ack = await orchestrator.ask('i_am_alive', { health_status: 'degraded' });

  t.like(ack, { type: 'i_am_alive_ack', status: 'ignored' });
  // Presence is written behind the acknowledgement, in order: once the marker's is there, so would this one's be.
  const seen = await marker.ask('i_am_alive', {});
  await until('the marker', async () => (await liveOf('marker-1')).last_seen === seen.ts);
  t.deepEqual({ ...(await rowsOf(world, 'free-1')), live: await liveOf('free-1') }, before);
});

test('an orchestrator that is managed again has its heartbeats processed again', async (t) => {
  const orchestrator = await connect('back-1');
  const path = '/api/v1/internal/orchestrators/back-1/independence';
  await world.api.put(path, { is_independent: true });
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'ignored');
  await world.api.put(path, { is_independent: false });
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
});

test('a heartbeat is acknowledged only when it is committed', async (t) => {
  const orchestrator = await connect('commit-1');
  world.clock.advance(1_000);
  await using held = await lockOf('commit-1');
  let acknowledged = false;
  const ack = orchestrator.ask('i_am_alive', {}).finally(() => {
    acknowledged = true;
  });
  await held.awaited();
  // Another round trip on the same connection: whatever was sent before it has arrived.
  orchestrator.socket.emit('no_such_event');
  await orchestrator.event('error');
  t.false(acknowledged);
  await held.release();
  const { ts } = await ack;
  t.is(timeOf((await rowsOf(world, 'commit-1')).instance, 'last_seen'), Date.parse(ts));
});

test('a heartbeat right behind its handshake waits for it', async (t) => {
  const orchestrator = await open();
  const [hello, beat] = await Promise.all([
    orchestrator.handshake('eager-1'),
    orchestrator.ask('i_am_alive', { health_status: 'degraded' }),
  ]);
  t.is(hello.type, 'handshake_ack');
  t.is(beat.status, 'processed');
  t.is((await rowsOf(world, 'eager-1')).instance?.health_status, 'degraded');
  t.deepEqual(
    orchestrator.received.filter((each) => each.event === 'error'),
    [],
  );
});

test('heartbeats of many orchestrators at once are each acknowledged', async (t) => {
  const fleet = await Promise.all(
    Array.from({ length: 40 }, (_, at) => connect(`many-${at}`, { organization_id: `many-org-${at % 4}` })),
  );
  const acks = await Promise.all(
    fleet.flatMap((each) => [
      each.ask('i_am_alive', {}),
      each.ask('i_am_alive', {}),
      each.ask('i_am_alive', {}),
    ]),
  );
  t.is(acks.length, 120);
  t.true(acks.every((ack) => ack.status === 'processed'));
  for (const each of fleet) each.close();
});

test('more heartbeats than may wait for their commit are refused, and the connection lives on', async (t) => {
  const orchestrator = await connect('flood-1');
  await using held = await lockOf('flood-1');
  const most = world.settings.socket.unacknowledgedBeats;
  const accepted = Promise.all(Array.from({ length: most }, () => orchestrator.ask('i_am_alive', {})));
  await held.awaited();
  orchestrator.socket.emit('i_am_alive', {});
  t.like(await orchestrator.event('error'), {
    code: 'too_many_heartbeats',
    retryable: true,
    retry_after_ms: world.settings.socket.heartbeatIntervalMs,
  });
  await held.release();
  t.is((await accepted).length, most);
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
});

test('the heartbeat of an orchestrator whose row is gone closes its connection', async (t) => {
  const orchestrator = await connect('gone-1');
  await world.sql("DELETE FROM orchestrator_instances WHERE orchestrator_id = 'gone-1'");
  orchestrator.socket.emit('i_am_alive', {});
  t.like(await orchestrator.event('error'), { code: 'deregistered', retryable: false });
  t.is(await orchestrator.closed(), 'io server disconnect');
});

test('the heartbeat of a connection whose epoch is not the row’s any more is superseded', async (t) => {
  const orchestrator = await connect('fenced-1');
  await world.sql(
    "UPDATE orchestrator_instances SET connection_epoch = connection_epoch + 1000 WHERE orchestrator_id = 'fenced-1'",
  );
  const before = await rowsOf(world, 'fenced-1');
  world.clock.advance(1_000);
  orchestrator.socket.emit('i_am_alive', {});
  t.is((await orchestrator.event('superseded')).epoch, before.instance?.connection_epoch);
  t.is(await orchestrator.closed(), 'io server disconnect');
  t.deepEqual(await rowsOf(world, 'fenced-1'), before);
});

test('the heartbeat of a connection whose orchestrator was removed and made anew is that of a removed one', async (t) => {
  const orchestrator = await connect('anew-1');
  await world.sql("DELETE FROM orchestrator_instances WHERE orchestrator_id = 'anew-1'");
  await world.api.post('/api/v1/controller/orchestrator-instances', { org_id: 'anew-1', name: 'Anew' });
  orchestrator.socket.emit('i_am_alive', {});
  t.like(await orchestrator.event('error'), { code: 'deregistered', retryable: false });
  t.is((await rowsOf(world, 'anew-1')).instance?.status, 'inactive');
});

test('a heartbeat over HTTP is written though a superseded connection’s shares its batch', async (t) => {
  const stale = await connect('mixed-1');
  await world.sql(
    "UPDATE orchestrator_instances SET connection_epoch = connection_epoch + 1000, status = 'inactive', last_seen = NULL WHERE orchestrator_id = 'mixed-1'",
  );
  const overHttp = (id: string) =>
    world.api.post('/api/v1/internal/orchestrators/heartbeat', { orchestrator_id: id });
  await connect('mixed-2');
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'mixed-2' FOR UPDATE",
  );
  // While this one waits for its row, the next two gather.
  const first = overHttp('mixed-2');
  await held.awaited();
  stale.socket.emit('i_am_alive', {});
  const second = overHttp('mixed-1');
  await held.release();

  t.is((await first).status, 200);
  t.like((await second).body, { status: 'active' });
  const { instance } = await rowsOf(world, 'mixed-1');
  t.is(instance?.status, 'active');
  t.not(instance?.last_seen, null);
  await stale.event('superseded');
});

test('a heartbeat over HTTP is written though one of its removed predecessor’s connection shares its batch', async (t) => {
  const removed = await connect('mixed-3');
  await world.sql("DELETE FROM orchestrator_instances WHERE orchestrator_id = 'mixed-3'");
  await world.api.post('/api/v1/controller/orchestrator-instances', { org_id: 'mixed-3', name: 'Anew' });
  const overHttp = (id: string) =>
    world.api.post('/api/v1/internal/orchestrators/heartbeat', { orchestrator_id: id });
  await connect('mixed-4');
  await using held = await lockOf('mixed-4');
  // While this one waits for its row, the next two gather.
  const first = overHttp('mixed-4');
  await held.awaited();
  removed.socket.emit('i_am_alive', {});
  const second = overHttp('mixed-3');
  await held.release();

  t.is((await first).status, 200);
  t.like(await second, { status: 200, body: { status: 'active' } });
  t.is((await rowsOf(world, 'mixed-3')).instance?.status, 'active');
  t.like(await removed.event('error'), { code: 'deregistered', retryable: false });
});
