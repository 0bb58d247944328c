// Independence: the flag in both tables, in every answer, and in the environment files.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dataOf, errorOf, fieldsOf, isoTime, linesOf } from '../support/answers.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const internal = '/api/v1/internal/orchestrators';
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

const put = (id: string, body: unknown) => world.api.put(`${internal}/${id}/independence`, body);
const get = (id: string) => world.api.get(`${internal}/${id}/independence`);
const flags = (id: string) =>
  world.sql(
    `SELECT i.is_independent AS instance, o.is_independent AS organization, i.privacy_mode
     FROM orchestrator_instances i JOIN organizations o USING (organization_id) WHERE orchestrator_id = $1`,
    [id],
  );
const environmentFile = (of = world) => readFile(join(of.folder, 'orchestrator_independence.env'), 'utf8');
const jsonFile = async (of = world): Promise<unknown> =>
  JSON.parse(await readFile(join(of.folder, 'orchestrator_independence.json'), 'utf8'));

test('independence can be enabled and disabled, in both tables at once', async (t) => {
  await world.api.post(`${internal}/register`, { organization_id: 'org-1', orchestrator_id: 'orch-1' });

  const enabled = await put('orch-1', { is_independent: true, privacy_mode: true });
  t.deepEqual(fieldsOf(t, enabled), { orchestrator_id: 'orch-1', is_independent: true, privacy_mode: true });
  t.deepEqual(await flags('orch-1'), [{ instance: true, organization: true, privacy_mode: true }]);
  t.deepEqual(fieldsOf(t, await get('orch-1')), {
    orchestrator_id: 'orch-1',
    is_independent: true,
    privacy_mode: true,
    status: 'independent',
    last_seen: null,
  });
  t.is(dataOf(t, await world.api.get('/api/v1/controller/organizations/org-1')).is_independent, true);

  const disabled = await put('orch-1', { is_independent: false });
  t.deepEqual(
    fieldsOf(t, disabled),
    { orchestrator_id: 'orch-1', is_independent: false, privacy_mode: true },
    'privacy_mode stays as it was when the call does not name it',
  );
  t.deepEqual(await flags('orch-1'), [{ instance: false, organization: false, privacy_mode: true }]);
  t.like(fieldsOf(t, await get('orch-1')), { is_independent: false, status: 'inactive' });

  t.deepEqual(await linesOf(world.api, { orchestrator_id: 'orch-1', event: 'independence' }, 4), [
    'INFO independence Independence mode enabled for orch-1',
    'INFO independence Independence setting written to environment files',
    'INFO independence Independence mode disabled for orch-1',
    'INFO independence Independence setting written to environment files',
  ]);
});

test('privacy mode can be set without independence', async (t) => {
  await world.api.post(`${internal}/register`, { organization_id: 'private' });
  for (const privacy_mode of [true, false])
    t.deepEqual(fieldsOf(t, await put('private', { is_independent: false, privacy_mode })), {
      orchestrator_id: 'private',
      is_independent: false,
      privacy_mode,
    });
});

test('setting the same independence again is fine', async (t) => {
  await world.api.post(`${internal}/register`, { organization_id: 'again' });
  const first = fieldsOf(t, await put('again', { is_independent: true }));
  t.deepEqual(fieldsOf(t, await put('again', { is_independent: true })), first);
});

test('heartbeats of a connected orchestrator are ignored while it is independent', async (t) => {
  const orchestrator = await world.replica(0).connect('beating');
  await orchestrator.ask('i_am_alive', {});
  const before = fieldsOf(t, await get('beating'));
  t.is(before.status, 'active');
  t.regex(before.last_seen, isoTime);
  world.clock.advance(100);

  fieldsOf(t, await put('beating', { is_independent: true }));
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'ignored');
  t.like(fieldsOf(t, await get('beating')), { status: 'independent', last_seen: before.last_seen });

  fieldsOf(t, await put('beating', { is_independent: false }));
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
  const after = fieldsOf(t, await get('beating'));
  t.is(after.status, 'active');
  t.true(after.last_seen > before.last_seen);
  orchestrator.close();
});

test('a handshake leaves independence as it is', async (t) => {
  await world.api.post(`${internal}/register`, { organization_id: 'returning' });
  fieldsOf(t, await put('returning', { is_independent: true }));
  const orchestrator = await world.replica(0).connect('returning');
  t.like(fieldsOf(t, await get('returning')), { is_independent: true, status: 'independent' });
  orchestrator.close();
});

test('an unknown orchestrator is a 404, a malformed id a 400', async (t) => {
  errorOf(t, await put('nobody', { is_independent: true }), 404, 'not_found');
  errorOf(t, await get('nobody'), 404, 'not_found');
  errorOf(t, await put('_', { is_independent: true }), 400, 'invalid_request', ['params.id']);
  errorOf(t, await get('_'), 400, 'invalid_request', ['params.id']);
});

test('every fault is reported at once, the path’s among them', async (t) => {
  errorOf(t, await put('_', { is_independent: 'true', privacy_mode: 1 }), 400, 'invalid_request', [
    'params.id',
    'body.is_independent',
    'body.privacy_mode',
  ]);
  errorOf(t, await put('orch-1', {}), 400, 'invalid_request', ['body.is_independent']);
});

test('the environment files hold every orchestrator’s flags, and follow each change', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  t.is(await environmentFile(own), '', 'the files are there before the first change');
  t.deepEqual(await jsonFile(own), {});
  for (const id of ['org-2.eu_west', 'Org1'])
    await own.api.post(`${internal}/register`, { organization_id: id });

  fieldsOf(
    t,
    await own.api.put(`${internal}/org-2.eu_west/independence`, { is_independent: true, privacy_mode: true }),
  );
  const other = 'ORCHESTRATOR_ORG1_INDEPENDENT=false\n';
  t.is(await environmentFile(own), `${other}ORCHESTRATOR_ORG_2_EU_WEST_INDEPENDENT=true\n`);
  t.deepEqual(await jsonFile(own), {
    Org1: { is_independent: false, privacy_mode: false },
    'org-2.eu_west': { is_independent: true, privacy_mode: true },
  });

  fieldsOf(t, await own.api.put(`${internal}/org-2.eu_west/independence`, { is_independent: false }));
  t.is(await environmentFile(own), `${other}ORCHESTRATOR_ORG_2_EU_WEST_INDEPENDENT=false\n`);
  t.deepEqual(await jsonFile(own), {
    Org1: { is_independent: false, privacy_mode: false },
    'org-2.eu_west': { is_independent: false, privacy_mode: true },
  });
});

test('many changes at once leave the files as the tables are', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  const ids = Array.from({ length: 8 }, (_, at) => `org-${at}`);
  await Promise.all(ids.map((id) => own.api.post(`${internal}/register`, { organization_id: id })));

  await Promise.all(
    ids.flatMap((id, at) =>
      [true, at % 2 === 0].map((is_independent) =>
        own.api.put(`${internal}/${id}/independence`, { is_independent }),
      ),
    ),
  );

  const rows = await own.sql(
    'SELECT orchestrator_id, is_independent, privacy_mode FROM orchestrator_instances ORDER BY 1',
  );
  t.is(rows.length, ids.length);
  const byId = rows.map(({ orchestrator_id, ...flagsOf }) => [orchestrator_id, flagsOf]);
  t.deepEqual(await jsonFile(own), Object.fromEntries(byId));
});

test('files that cannot be written are a warning; the tables still change', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  await own.api.post(`${internal}/register`, { organization_id: 'org-1' });
  // A file where the folder should be.
  await rm(own.folder, { recursive: true });
  await writeFile(own.folder, '');

  const answer = await own.api.put(`${internal}/org-1/independence`, { is_independent: true });

  t.is(fieldsOf(t, answer).is_independent, true);
  t.is(fieldsOf(t, await own.api.get(`${internal}/org-1/independence`)).is_independent, true);
  t.deepEqual(await linesOf(own.api, { event: 'independence' }, 2), [
    'INFO independence Independence mode enabled for org-1',
    'WARNING independence Independence setting could not be written to environment files',
  ]);
});

test('an orchestrator that is removed is out of the files', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  await own.api.post(`${internal}/register`, { organization_id: 'leaves-1' });
  await own.api.put(`${internal}/leaves-1/independence`, { is_independent: true });
  t.deepEqual(await jsonFile(own), { 'leaves-1': { is_independent: true, privacy_mode: false } });
  await own.api.delete(`${internal}/leaves-1/deregister`);
  await until('the files to follow', async () => JSON.stringify(await jsonFile(own)) === '{}');
  t.is(await environmentFile(own), '');
});

test('ids that share a variable and disagree are left out of the environment file, and said', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  for (const id of ['org-7', 'org.7']) await own.api.post(`${internal}/register`, { organization_id: id });
  const lines = async () => (await environmentFile(own)).trim().split('\n');

  await own.api.put(`${internal}/org-7/independence`, { is_independent: true });
  t.deepEqual(await lines(), [
    '# ORCHESTRATOR_ORG_7_INDEPENDENT would stand for org-7, org.7, which differ: see orchestrator_independence.json',
  ]);
  await own.api.put(`${internal}/org.7/independence`, { is_independent: true });
  t.deepEqual(await lines(), ['ORCHESTRATOR_ORG_7_INDEPENDENT=true']);
});

const setIndependent = (id: string, is_independent: boolean) =>
  world.api.put(`${internal}/${id}/independence`, { is_independent });

test('nobody sees an organization independent before its orchestrator is', async (t) => {
  await world.api.post(`${internal}/register`, { organization_id: 'whole-org', orchestrator_id: 'whole-1' });
  const flags = async () => {
    const { instance, organization } = await rowsOf(world, 'whole-1');
    return [organization?.is_independent, instance?.is_independent];
  };
  await using held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'whole-1' FOR UPDATE",
  );
  const setting = setIndependent('whole-1', true);
  await held.awaited();
  t.deepEqual(await flags(), [false, false]);

  await held.release();
  t.is(fieldsOf(t, await setting).is_independent, true);
  t.deepEqual(await flags(), [true, true]);
});

test('the disconnect of an independent orchestrator makes its row inactive, and leaves it independent', async (t) => {
  const orchestrator = await world.replica(0).connect('leaves-1');
  await setIndependent('leaves-1', true);
  t.like((await rowsOf(world, 'leaves-1')).instance, { status: 'active', is_independent: true });

  orchestrator.close();

  await until('its row to be inactive', async () => {
    return (await rowsOf(world, 'leaves-1')).instance?.status === 'inactive';
  });
  const { instance, organization } = await rowsOf(world, 'leaves-1');
  t.like(instance, { is_independent: true, node_id: null });
  t.like(organization, { status: 'inactive', is_independent: true });
});

test('a heartbeat over HTTP is answered as independent while its orchestrator is, and as active again', async (t) => {
  await world.api.post(`${internal}/register`, { organization_id: 'beats-1' });
  const beat = async () => {
    const answer = await world.api.post(`${internal}/heartbeat`, { orchestrator_id: 'beats-1' });
    return fieldsOf(t, answer).status;
  };
  t.is(await beat(), 'active');
  await setIndependent('beats-1', true);
  t.is(await beat(), 'independent');
  t.is(await beat(), 'independent');
  await setIndependent('beats-1', false);
  t.is(await beat(), 'active');
});
