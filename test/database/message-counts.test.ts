// The counts of messages that the triggers keep: the same as counting.
import test, { type ExecutionContext } from 'ava';
import { migrate } from '../../src/database/migrate.ts';
import { fieldsOf } from '../support/answers.ts';
import { openWorld, type World } from '../support/world.ts';

const internal = '/api/v1/internal';
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

const counted = `
  SELECT orchestrator_id AS whose, message_type, status, count(*)::int AS messages FROM orchestrator_messages GROUP BY 1, 2, 3
  UNION ALL SELECT 'all', message_type, status, count(*)::int FROM orchestrator_messages GROUP BY 2, 3 ORDER BY 1, 2, 3`;
const kept = `
  SELECT CASE WHEN whose LIKE '#%' THEN 'all' ELSE whose END AS whose, message_type, status, sum(messages)::int AS messages
  FROM orchestrator_message_counts GROUP BY 1, 2, 3 HAVING sum(messages) <> 0 ORDER BY 1, 2, 3`;

/** How many messages there are, once both ways have told the same. */
async function agreed(t: ExecutionContext, of: World): Promise<number> {
  const [rows, known] = await Promise.all([of.sql(counted), of.sql(kept)]);
  t.deepEqual(known, rows);
  return rows.reduce((sum, row) => sum + (row.whose === 'all' ? Number(row.messages) : 0), 0);
}

const plant = (of: World, ids: string[], each: number) =>
  of.sql(
    `INSERT INTO orchestrator_messages (id, orchestrator_id, message_type, content, status)
     SELECT 'planted_' || id || at, id, (ARRAY['recommendation', 'monitoring'])[1 + at % 2], 'x',
       (ARRAY['pending', 'accepted', 'dismissed'])[1 + at % 3]
     FROM unnest($1::text[]) id, generate_series(1, $2) at`,
    [ids, each],
  );

test.serial('they follow what is created, decided and removed, one at a time and many at once', async (t) => {
  const ids = Array.from({ length: 6 }, (_, at) => `counted-${at}`);
  for (const id of ids) await world.api.post(`${internal}/orchestrators/register`, { organization_id: id });
  const created = await Promise.all(
    ids.flatMap((id) =>
      Array.from({ length: 8 }, async (_, at) => {
        const message_type = at % 3 === 0 ? 'monitoring' : 'recommendation';
        const path = `${internal}/orchestrators/${id}/messages`;
        return fieldsOf(t, await world.api.post(path, { message_type, content: 'x' }), 201).message_id;
      }),
    ),
  );
  t.is(await agreed(t, world), 48);
  await Promise.all(
    created.map((id, at) =>
      world.api.put(`${internal}/messages/${id}/status`, {
        status: at % 2 === 0 ? 'accepted' : 'dismissed',
      }),
    ),
  );
  await plant(world, ids, 12);
  t.is(await agreed(t, world), 120);
  await Promise.all([
    world.api.delete(`${internal}/orchestrators/${ids[0]}/deregister`),
    world.api.delete(`/api/v1/controller/orchestrator-instances/${ids[1]}`),
    world.sql("DELETE FROM orchestrator_messages WHERE status = 'accepted'"),
  ]);
  const left = await agreed(t, world);
  t.true(left > 0 && left < 80);
  t.is(fieldsOf(t, await world.api.get(`${internal}/messages?limit=1`)).total_count, left);
  t.deepEqual(await world.sql('SELECT FROM orchestrator_message_counts WHERE whose = $1', [ids[0]]), []);
  await world.sql('TRUNCATE orchestrator_messages');
  t.is(await agreed(t, world), 0);
});

test.serial('a transaction that is rolled back has counted nothing', async (t) => {
  await world.api.post(`${internal}/orchestrators/register`, { organization_id: 'rolled-back' });
  const before = await agreed(t, world);
  await t.throwsAsync(plant(world, ['rolled-back', 'of-nobody'], 3));
  t.is(await agreed(t, world), before);
});

test.serial('messages that were there before are counted by the migration', async (t) => {
  const old = await openWorld();
  t.teardown(() => old.close());
  await old.sql('DROP FUNCTION count_orchestrator_messages CASCADE');
  await old.sql('DROP TABLE orchestrator_message_counts');
  await old.sql('DROP INDEX orchestrator_messages_filtered');
  await old.sql("DELETE FROM schema_migrations WHERE name = '2026-11-24-message-counts'");
  await old.api.post(`${internal}/orchestrators/register`, { organization_id: 'older' });
  await plant(old, ['older'], 30);
  t.deepEqual(await migrate(old.settings.database.url), ['2026-11-24-message-counts']);
  t.is(await agreed(t, old), 30);
  t.is(fieldsOf(t, await old.api.get(`${internal}/messages?status=pending&limit=1`)).total_count, 10);
});
