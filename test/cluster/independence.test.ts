// Independence that is set through one replica holds on all of them.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { linesOf } from '../support/answers.ts';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
const a = world.replica(0);
const foldersOf = { a: world.folder, b: join(world.folder, 'b') };
const b = await world.grow({ independence: { folder: foldersOf.b } });
test.after.always(() => world.close());

const pathOf = (id: string) => `/api/v1/internal/orchestrators/${id}/independence`;
const readIn = async (folder: string) => ({
  env: (await readFile(join(folder, 'orchestrator_independence.env'), 'utf8')).split('\n'),
  json: JSON.parse(await readFile(join(folder, 'orchestrator_independence.json'), 'utf8')),
});

test('independence set through B takes effect on A’s heartbeats, in both tables and in the files of both', async (t) => {
  const orchestrator = await a.connect('free-1.x');
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');

  const set = await b.api.put(pathOf('free-1.x'), { is_independent: true, privacy_mode: true });
  t.is(set.status, 200);
  t.like(set.body, { orchestrator_id: 'free-1.x', is_independent: true, privacy_mode: true });
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'ignored');
  const on = await rowsOf(world, 'free-1.x');
  t.like(on.instance, { is_independent: true, privacy_mode: true });
  t.like(on.organization, { is_independent: true });
  for (const folder of Object.values(foldersOf)) {
    const { json } = await until(`both files in ${folder}`, async () => {
      const files = await readIn(folder);
      const written = files.env.includes('ORCHESTRATOR_FREE_1_X_INDEPENDENT=true');
      return written && files.json['free-1.x']?.is_independent === true && files;
    });
    t.like(json['free-1.x'], { is_independent: true, privacy_mode: true });
  }

  t.is((await b.api.put(pathOf('free-1.x'), { is_independent: false })).status, 200);
  t.is((await orchestrator.ask('i_am_alive', {})).status, 'processed');
  const off = await rowsOf(world, 'free-1.x');
  t.like(off.instance, { is_independent: false, privacy_mode: true });
  t.like(off.organization, { is_independent: false });
  for (const folder of Object.values(foldersOf)) {
    const { json } = await until(`both files in ${folder}`, async () => {
      const files = await readIn(folder);
      const written = files.env.includes('ORCHESTRATOR_FREE_1_X_INDEPENDENT=false');
      return written && files.json['free-1.x']?.is_independent === false && files;
    });
    t.like(json['free-1.x'], { is_independent: false, privacy_mode: true });
  }
});

test('a replica that starts writes the files as Postgres has them', async (t) => {
  await a.api.post('/api/v1/internal/orchestrators/register', { organization_id: 'early-1' });
  await a.api.put(pathOf('early-1'), { is_independent: true });
  const folder = join(world.folder, 'c');
  await world.grow({ independence: { folder } });
  t.true((await readIn(folder)).env.includes('ORCHESTRATOR_EARLY_1_INDEPENDENT=true'));
});

test('many changes at once through both replicas end in files that say what Postgres says', async (t) => {
  const ids = Array.from({ length: 10 }, (_, at) => `crowd-${at}`);
  for (const id of ids) await a.api.post('/api/v1/internal/orchestrators/register', { organization_id: id });
  await Promise.all(
    ids.flatMap((id, at) => [
      a.api.put(pathOf(id), { is_independent: at % 2 === 0 }),
      b.api.put(pathOf(id), { is_independent: at % 3 === 0 }),
    ]),
  );
  const rows = await world.sql(
    "SELECT orchestrator_id, is_independent FROM orchestrator_instances WHERE orchestrator_id LIKE 'crowd-%' ORDER BY 1",
  );
  for (const folder of Object.values(foldersOf))
    await until(`the file in ${folder}`, async () => {
      const { json } = await readIn(folder);
      return rows.every((row) => json[String(row.orchestrator_id)]?.is_independent === row.is_independent);
    });
  const organizations = await world.sql(
    "SELECT organization_id AS orchestrator_id, is_independent FROM organizations WHERE organization_id LIKE 'crowd-%' ORDER BY 1",
  );
  t.deepEqual(organizations, rows);
});

test('files that cannot be written are a warning, not a failure', async (t) => {
  const noFolder = join(world.folder, 'orchestrator_independence.json');
  const d = await world.grow({ independence: { folder: noFolder } });
  await d.api.post('/api/v1/internal/orchestrators/register', { organization_id: 'unwritten-1' });
  t.is((await d.api.put(pathOf('unwritten-1'), { is_independent: true })).status, 200);
  const lines = await linesOf(d.api, { level: 'WARNING', event: 'independence' });
  t.is(lines.at(-1), 'WARNING independence Independence setting could not be written to environment files');
});
