import test from 'ava';
import { dataOf, errorOf, fieldsOf } from '../support/answers.ts';
import type { Answer } from '../support/api.ts';
import { connectAs, digestOf } from '../support/places.ts';
import { rowsOf } from '../support/rows.ts';
import { asksForTokens, tokenOf } from '../support/tokens.ts';
import { until } from '../support/until.ts';
import { newTestKeys } from '../support/visitors.ts';
import { openWorld } from '../support/world.ts';

// Two organizations: north has one orchestrator connected and one that is independent, south has one connected.
const keys = newTestKeys();
const world = await openWorld({ replicas: 2, settings: asksForTokens(...keys.accepted) });
const [first, second] = [world.replica(0), world.replica(1)];
const adminOf = async (...organizations: string[]) =>
  first.as(await tokenOf(keys.secret, 'admin', { subject: 'confined', organizations }));
const everyone = first.as(await tokenOf(keys.secret, 'admin', { subject: 'unconfined' }));
const north = await adminOf('north');
const controller = '/api/v1/controller';
const internal = '/api/v1/internal';

const n1 = await connectAs(keys, first, { orchestrator: 'n1', organization: 'north' });
const s1 = await connectAs(keys, second, { orchestrator: 's1', organization: 'south' });
await everyone.post(`${controller}/orchestrator-instances`, {
  org_id: 'north',
  orchestrator_id: 'n2',
  name: 'N2',
});
await everyone.put(`${internal}/orchestrators/n2/independence`, { is_independent: true });
const messages: Record<string, string> = {};
for (const id of ['n1', 'n2', 's1']) {
  const { body } = await everyone.post(`${internal}/orchestrators/${id}/messages`, {
    message_type: 'monitoring',
    content: `For ${id}`,
  });
  messages[id] = body.message_id;
}

test.after.always(() => world.close());

test.serial('rows of other organizations are in no list and no total', async (t) => {
  const organizations = dataOf(t, await north.get(`${controller}/organizations`));
  t.deepEqual(
    organizations.items.map((row: { organization_id: string }) => row.organization_id),
    ['north'],
  );
  t.is(organizations.total_items, 1);
  const instances = dataOf(t, await north.get(`${controller}/orchestrators?page_size=1`));
  t.deepEqual([instances.items.length, instances.total_items, instances.total_pages], [1, 2, 2]);
  const asked = dataOf(t, await north.get(`${controller}/orchestrators?organization_id=south`));
  t.deepEqual([asked.items, asked.total_items], [[], 0]);
});

test.serial('of those connected only its own are shown and counted', async (t) => {
  const live = dataOf(t, await north.get(`${controller}/orchestrators/live`));
  t.deepEqual([Object.keys(live.orchestrators), live.total_count], [['n1'], 1]);
  const asked = dataOf(t, await north.get(`${controller}/orchestrators/live?organization_id=south`));
  t.deepEqual(asked, { orchestrators: {}, total_count: 0 });
});

test.serial('messages of other organizations are in no list, no total and no page', async (t) => {
  const all = fieldsOf(t, await north.get(`${internal}/messages`));
  t.deepEqual(
    all.messages.map((message: { id: string }) => message.id),
    [messages.n2, messages.n1],
  );
  t.is(all.total_count, 2);
  const asked = fieldsOf(t, await north.get(`${internal}/messages?orchestrator_id=s1`));
  t.deepEqual([asked.messages, asked.total_count], [[], 0]);
  errorOf(t, await north.get(`${internal}/messages?before=${messages.s1}`), 400, 'invalid_request', [
    'query.before',
  ]);
});

test.serial('an orchestrator pages through its own messages alone', async (t) => {
  const own = first.as(await tokenOf(keys.signing, 'orchestrator', { subject: 'n1' }));
  const path = `${internal}/orchestrators/n1/messages`;
  t.is(fieldsOf(t, await own.get(path)).total_count, 1);
  errorOf(t, await own.get(`${path}?before=${messages.n2}`), 400, 'invalid_request', ['query.before']);
});

test.serial('what is of another organization is answered like what is not there at all', async (t) => {
  const calls: ((id: string) => Promise<Answer>)[] = [
    (id) => north.get(`${controller}/orchestrators/${id}`),
    (id) => north.get(`${controller}/orchestrators/live/${id}`),
    (id) => north.delete(`${controller}/orchestrator-instances/${id}`),
    (id) => north.get(`${internal}/orchestrators/${id}/independence`),
    (id) => north.put(`${internal}/orchestrators/${id}/independence`, { is_independent: true }),
    (id) => north.get(`${internal}/orchestrators/${id}/messages`),
    (id) =>
      north.post(`${internal}/orchestrators/${id}/messages`, { message_type: 'monitoring', content: 'x' }),
    (id) => north.post(`${internal}/orchestrators/${id}/send`, { type: 'note' }),
    (id) => north.delete(`${internal}/orchestrators/${id}/deregister`),
    (id) => north.post(`${internal}/orchestrators/heartbeat`, { orchestrator_id: id }),
    (id) => north.get(`${controller}/organizations/${id === 's1' ? 'south' : id}`),
    (id) =>
      north.put(`${internal}/messages/${id === 's1' ? messages.s1 : id}/status`, { status: 'accepted' }),
  ];
  const names = new RegExp(`south|nobody|s1|${messages.s1}`, 'g');
  for (const call of calls) {
    const [foreign, absent] = [await call('s1'), await call('nobody')];
    const told = ({ status, body: { message, code } }: Answer) => [
      status,
      code,
      message.replace(names, 'it'),
    ];
    t.true(foreign.status >= 400);
    t.deepEqual(told(foreign), told(absent));
  }
});

test.serial('the overview counts what is its own, and no heartbeats', async (t) => {
  t.deepEqual(dataOf(t, await north.get(`${controller}/overview`)), {
    organizations: 1,
    instances: {
      total: 2,
      by_status: { active: 1, inactive: 0, independent: 1 },
      by_health: { healthy: 1, degraded: 0, unhealthy: 0, unknown: 1 },
    },
    pending_messages: 2,
    connected: 1,
    nodes: 2,
    heartbeats_per_minute: null,
  });
  const { connected, heartbeats_per_minute } = dataOf(t, await everyone.get(`${controller}/overview`));
  t.deepEqual([connected, heartbeats_per_minute], [2, 0]);
});

test.serial('the connections of each replica are those of its own', async (t) => {
  const counts = async (api: typeof north) => {
    const { nodes } = fieldsOf(t, await api.get(`${internal}/nodes`));
    const found = new Map<string, number>(
      nodes.map((node: { node_id: string; connections: number }) => [node.node_id, node.connections]),
    );
    const { ws } = fieldsOf(t, await api.get(`${internal}/health`));
    return [...[first, second].map((each) => found.get(each.controller.nodeId)), ws.active_connections];
  };
  t.deepEqual(await counts(north), [1, 0, 1]);
  t.deepEqual(await counts(await adminOf('south')), [0, 1, 1]);
  t.deepEqual(await counts(await adminOf('north', 'south')), [1, 1, 2]);
  t.deepEqual(await counts(await adminOf()), [0, 0, 0]);
});

interface Line {
  id: string;
  message: string;
  orchestrator_id?: string;
}

test.serial(
  'the log has the lines of its own orchestrators and organizations, and none of the controller',
  async (t) => {
    errorOf(
      t,
      await north.post(`${controller}/organizations`, { org_id: 'north', name: 'Again' }),
      409,
      'already_exists',
    );
    const read = async (api: typeof north, query = '') => {
      const { data } = fieldsOf(t, await api.get(`${internal}/logs?limit=1000${query}`));
      t.is(data.total, data.items.length);
      return data.items as Line[];
    };
    const shown = await read(north);
    const all = await read(everyone);
    const own = ({ orchestrator_id, message }: Line) =>
      ['n1', 'n2'].includes(String(orchestrator_id)) || message.includes('organization.create north');
    const [oldest] = shown.slice(-1);
    t.deepEqual(
      shown,
      all.filter(own).filter((line) => line.id <= (shown[0]?.id ?? '')),
    );
    t.true(shown.some(({ message }) => message.includes('organization.create north: already_exists')));
    t.true(
      shown.some(({ message }) => message === `Message ${messages.n2} created for n2 (type: monitoring)`),
    );
    t.true(all.some(({ message }) => message.endsWith(`listens at ${first.controller.url}`)));
    t.truthy(oldest);
    t.deepEqual(await read(north, '&orchestrator_id=s1'), []);
    t.true((await read(everyone, '&orchestrator_id=s1')).length > 0);
    t.deepEqual(await read(await adminOf()), []);
  },
);

test.serial(
  'who takes an id that another organization has given up is not shown what was before, and that one still is shown the end',
  async (t) => {
    const south = await adminOf('south');
    const linesOf = async (api: typeof north) => {
      const { data } = fieldsOf(t, await api.get(`${internal}/logs?limit=1000&orchestrator_id=reused`));
      return data.items.map(({ message }: Line) => message.replace(/ \(request .*/, ''));
    };
    const place = { orchestrator_id: 'reused', name: 'Reused' };
    for (const path of [
      `${internal}/orchestrators/reused/deregister`,
      `${controller}/orchestrator-instances/reused`,
    ]) {
      await south.post(`${controller}/orchestrator-instances`, { ...place, org_id: 'south' });
      fieldsOf(t, await south.put(`${internal}/orchestrators/reused/independence`, { is_independent: true }));
      t.is((await south.delete(path)).status, 200);
      const ending = path.includes('deregister') ? 'orchestrator.deregister' : 'instance.delete';
      t.is((await linesOf(south))[0], `admin confined: ${ending} reused: done`);

      await north.post(`${controller}/orchestrator-instances`, { ...place, org_id: 'north' });
      // All that was is longer ago than clocks may differ.
      await world.sql(
        `UPDATE orchestrator_instances SET created_at = now() + interval '10 s' WHERE orchestrator_id = 'reused'`,
      );
      const shown = await linesOf(north);
      t.is(shown[0], 'admin confined: instance.create reused: done');
      t.false(shown.some((message: string) => message.includes('ndependence')));
      t.is((await north.delete(`${controller}/orchestrator-instances/reused`)).status, 200);
    }
  },
);

test.serial('a token of no organization is shown nothing at all', async (t) => {
  const nobody = await adminOf();
  t.is(dataOf(t, await nobody.get(`${controller}/organizations`)).total_items, 0);
  t.is(dataOf(t, await nobody.get(`${controller}/orchestrators`)).total_items, 0);
  t.is(dataOf(t, await nobody.get(`${controller}/orchestrators/live`)).total_count, 0);
  t.is(fieldsOf(t, await nobody.get(`${internal}/messages`)).total_count, 0);
  const { organizations, instances, pending_messages, connected } = dataOf(
    t,
    await nobody.get(`${controller}/overview`),
  );
  t.deepEqual([organizations, instances.total, pending_messages, connected], [0, 0, 0, 0]);
});

test.serial('an orchestrator of another organization cannot be taken into one’s own', async (t) => {
  const before = await digestOf(world);
  const [heard, heardThere] = [n1.received.length, s1.received.length];
  errorOf(
    t,
    await north.post(`${internal}/orchestrators/register`, {
      organization_id: 'north',
      orchestrator_id: 's1',
      name: 'Mine now',
    }),
    409,
    'already_exists',
  );
  errorOf(
    t,
    await north.post(`${controller}/orchestrator-instances`, {
      org_id: 'north',
      orchestrator_id: 's1',
      name: 'Mine now',
    }),
    409,
    'already_exists',
  );
  t.is(await digestOf(world), before);
  t.deepEqual([n1.received.length, s1.received.length], [heard, heardThere]);
  t.is(dataOf(t, await everyone.get(`${controller}/orchestrators/live/s1`)).organization_id, 'south');
});

test.serial('nor can the id that the first orchestrator of another organization will have', async (t) => {
  const before = await digestOf(world);
  const called = (orchestrator_id: string, org: string) => ({
    orchestrator_id,
    [org]: 'north',
    name: 'Mine now',
  });
  const register = `${internal}/orchestrators/register`;
  const create = `${controller}/orchestrator-instances`;
  for (const answer of [
    await north.post(register, called('south', 'organization_id')),
    await north.post(create, called('south', 'org_id')),
  ])
    errorOf(t, answer, 409, 'already_exists');
  t.is(await digestOf(world), before);
  // Its own, and what is nobody's, it may; and so may who sees both.
  const both = await adminOf('north', 'south');
  for (const [api, id] of [
    [north, 'north'],
    [north, 'nobodys'],
    [both, 'south'],
  ] as const) {
    fieldsOf(t, await api.post(register, called(id, 'organization_id')));
    t.is((await api.delete(`${internal}/orchestrators/${id}/deregister`)).status, 200);
    dataOf(t, await api.post(create, called(id, 'org_id')), 201);
    t.is((await api.delete(`${create}/${id}`)).status, 200);
  }
});

test.serial(
  'nor by a handshake: a token of one organization does not move an orchestrator of another',
  async (t) => {
    const before = await digestOf(world);
    const thief = await first.open({
      token: await tokenOf(keys.signing, 'orchestrator', { subject: 's1', organizations: ['north'] }),
    });
    thief.socket.emit('handshake', { data: { orchestrator_id: 's1', organization_id: 'north' } });
    t.is((await thief.event('error')).code, 'forbidden');
    await thief.closed();
    t.is(await digestOf(world), before);
    t.true(s1.socket.connected);
  },
);

test.serial('not even when the other organization gets it at the same moment', async (t) => {
  const insert = (organization: string, orchestrator: string) =>
    world.hold(`
      WITH made AS (INSERT INTO organizations (organization_id, name) VALUES ('${organization}', 'X') RETURNING *)
      INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name)
      SELECT '${orchestrator}', organization_id, 'X' FROM made`);
  const shakeHands = async (id: string, organization: string) => {
    const token = await tokenOf(keys.signing, 'orchestrator', { subject: id, organizations: [organization] });
    const orchestrator = await first.open({ token });
    orchestrator.socket.emit('handshake', { data: { orchestrator_id: id, organization_id: organization } });
    return orchestrator;
  };
  await using ahead = await insert('blocked', 'blocker');
  await using held = await insert('rival', 'contested');
  await shakeHands('blocker', 'blocked');
  await ahead.awaited();
  // Written together, behind the one that waits: the second has the rival organization locked as well.
  const late = await shakeHands('contested', 'north');
  const mate = await shakeHands('mate', 'rival');
  await until('three handshakes to wait', async () =>
    String((await world.api.get('/metrics')).body).includes('\nmoolai_handshakes_waiting 3\n'),
  );
  await ahead.release();
  await held.awaited();
  await held.release();
  t.is((await late.event('error')).code, 'forbidden');
  await mate.event('handshake_ack');
  t.is((await rowsOf(world, 'contested')).instance?.organization_id, 'rival');
});

test.serial(
  'who is moved out of the organizations of its token is hung up on, and shown nothing of the new ones',
  async (t) => {
    await everyone.post(`${controller}/organizations`, {
      ...{ org_id: 'east', name: 'East', settings: { plan: 'only-for-east' } },
    });
    const token = await tokenOf(keys.signing, 'orchestrator', { subject: 'n3', organizations: ['north'] });
    const register = (organization_id: string) =>
      everyone.post(`${internal}/orchestrators/register`, { organization_id, orchestrator_id: 'n3' });
    for (const replica of [first, second]) {
      fieldsOf(t, await register('north'));
      const n3 = await replica.open({ token });
      await n3.handshake('n3', { organization_id: 'north' });
      fieldsOf(t, await register('north'));
      n3.socket.emit('provisioning_request', {});
      fieldsOf(t, await register('east'));
      n3.socket.emit('provisioning_request', {});
      t.like(await n3.event('error'), { code: 'forbidden', retryable: false });
      await n3.closed();
      t.false(JSON.stringify(n3.received).includes('only-for-east'));
    }
  },
);

// Redis may not pass on that it was moved.
test.serial('nor is it given their settings when it asks before that is known', async (t) => {
  const token = await tokenOf(keys.signing, 'orchestrator', { subject: 'n4', organizations: ['north'] });
  const n4 = await first.open({ token });
  await n4.handshake('n4', { organization_id: 'north' });
  await world.sql(`UPDATE orchestrator_instances SET organization_id = 'east' WHERE orchestrator_id = 'n4'`);
  n4.socket.emit('provisioning_request', {});
  t.like(await n4.event('error'), { code: 'forbidden', retryable: false });
  await n4.closed();
  t.false(JSON.stringify(n4.received).includes('only-for-east'));
});

test.serial('an organization that a token names and that is not there yet can be made by it', async (t) => {
  const west = await adminOf('west');
  const made = { organization_id: 'west', orchestrator_id: 'w1' };
  t.true(fieldsOf(t, await west.post(`${internal}/orchestrators/register`, made)).created);
  t.is(dataOf(t, await west.get(`${controller}/orchestrators`)).total_items, 1);
  errorOf(t, await north.get(`${controller}/orchestrators/w1`), 404, 'not_found');
});

test.serial(
  'a token that names no organization is good for its own, and for where it is registered',
  async (t) => {
    const open = async (id: string) =>
      first.open({ token: await tokenOf(keys.signing, 'orchestrator', { subject: id }) });
    const before = await digestOf(world);
    const stranger = await open('stranger');
    stranger.socket.emit('handshake', { data: { orchestrator_id: 'stranger', organization_id: 'south' } });
    t.like(await stranger.event('error'), { code: 'forbidden', retryable: false });
    await stranger.closed();
    t.false(stranger.received.some(({ event }) => event === 'provision_config'));
    t.is(await digestOf(world), before);

    fieldsOf(
      t,
      await everyone.post(`${internal}/orchestrators/register`, {
        organization_id: 'south',
        orchestrator_id: 'invited',
      }),
    );
    const invited = await open('invited');
    await invited.handshake('invited', { organization_id: 'south' });
    await invited.handshake('invited', { metadata: { name: 'Refreshed' } });
    t.is((await rowsOf(world, 'invited')).instance?.organization_id, 'south');
    invited.socket.emit('handshake', { data: { orchestrator_id: 'invited', organization_id: 'north' } });
    t.like(await invited.event('error'), { code: 'forbidden' });
    t.is((await rowsOf(world, 'invited')).instance?.organization_id, 'south');

    const alone = await open('alone');
    await alone.handshake('alone');
    t.is((await rowsOf(world, 'alone')).instance?.organization_id, 'alone');
  },
);
