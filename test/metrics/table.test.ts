// The README's table of metrics is what a replica has, and no label of any of them grows with what clients send.
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { metricsTable, scrape } from '../support/metrics.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

test('every metric of a replica is in the table of the README, as it is, and every row is a metric', async (t) => {
  const orchestrator = await world.replica(0).connect('table-1');
  orchestrator.socket.on('note', (_frame, acknowledge) => acknowledge?.('seen'));
  await orchestrator.ask('i_am_alive', {});
  await world.api.post('/api/v1/internal/orchestrators/table-1/send', { type: 'note', ack: true });
  const table = await metricsTable();
  const own = [...(await scrape(world.api)).families].filter(([name]) => name.startsWith('moolai_'));

  t.deepEqual([...table.keys()].sort(), own.map(([name]) => name).sort());
  for (const [name, { type, help, labels }] of own) {
    const row = table.get(name);
    t.is(row?.type, type, name);
    t.is(row?.meaning, help, name);
    // Those of which nothing has happened show none.
    for (const label of labels) t.true(row?.labels.includes(label), `${name} has ${label}`);
  }
});

test('names follow the conventions of Prometheus', async (t) => {
  for (const [name, { type, help }] of (await scrape(world.api)).families) {
    if (!name.startsWith('moolai_')) continue;
    t.is(name.endsWith('_total'), type === 'counter', name);
    t.notRegex(name, /milliseconds|_ms\b|minutes|kilobytes/, name);
    if (name.includes('duration')) t.regex(name, /_seconds$/);
    if (name.includes('cluster')) t.regex(help, /whole cluster/);
    else if (name !== 'moolai_redis_figures_up') t.notRegex(help, /whole cluster/, name);
  }
});

test('no label holds an id, and what matches no route, or has a method of its own, shares one', async (t) => {
  for (let nth = 0; nth < 5; nth += 1) await world.api.get(`/no/such/place-${nth}`);
  await world.api.request('/', { method: 'PROPFIND' });
  await world.api.get('/api/v1/controller/organizations/an-id');
  const { labelsOf, families } = await scrape(world.api);
  const routes = labelsOf('moolai_http_request_duration_seconds_count');

  t.is(routes.filter(({ route, method }) => route === 'none' && method === 'GET').length, 1);
  t.true(routes.some(({ route, method }) => route === 'none' && method === 'other'));
  t.true(routes.some(({ route }) => route === '/api/v1/controller/organizations/:id'));
  const values = [...families.keys()].flatMap((name) =>
    ['', '_count'].flatMap((end) => labelsOf(name + end).flatMap((each) => Object.values(each))),
  );
  t.true(values.length > 100);
  for (const value of values) t.notRegex(value, /an-id|place-|node-|msg_|table-1/);
});

test('the build, the limit of connections and the event loop are told', async (t) => {
  const { labelsOf, value } = await scrape(world.api);
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  t.deepEqual(labelsOf('moolai_build_info'), [{ version, node: process.versions.node }]);
  t.is(value('moolai_connections_limit'), world.settings.socket.connectionsPerReplica);
  for (const name of ['nodejs_eventloop_lag_p99_seconds', 'process_resident_memory_bytes'])
    t.true((value(name) ?? 0) > 0, name);
});
