// The statement that writes heartbeats: what it tells of each, and how it looks for their rows.
import test from 'ava';
import { type Beat, writeBeats } from '../../src/database/statements/heartbeats.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld();
test.after.always(() => world.close());

const atMs = Date.now();

const query: Parameters<typeof writeBeats>[0] = (statement, parameters = []) =>
  world.sql(statement, [...parameters]);

function beat(orchestratorId: string, changes: Partial<Beat> = {}): Beat {
  return {
    ...{ orchestratorId, organizationId: orchestratorId, epoch: 1, nodeId: 'node-1' },
    ...{ healthStatus: 'healthy', features: undefined, atMs },
    ...changes,
  };
}

async function register(orchestratorId: string, organizationId = orchestratorId): Promise<void> {
  await world.sql(
    "INSERT INTO organizations (organization_id, name) VALUES ($1, 'Of a test') ON CONFLICT DO NOTHING",
    [organizationId],
  );
  await world.sql(
    `INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name, connection_epoch, node_id)
     VALUES ($1, $2, 'Of a test', 1, 'node-1')`,
    [orchestratorId, organizationId],
  );
}

test('of heartbeats in one batch each is told what became of it, whatever became of the others', async (t) => {
  for (const id of ['as-told', 'independent', 'newer', 'over-http', 'later']) await register(id);
  await register('elsewhere', 'another-org');
  await world.sql(
    `UPDATE orchestrator_instances SET is_independent = true WHERE orchestrator_id = 'independent'`,
  );
  await world.sql(`UPDATE orchestrator_instances SET connection_epoch = 2 WHERE orchestrator_id = 'newer'`);
  await world.sql(
    "UPDATE orchestrator_instances SET last_seen = to_timestamp($1::float8 / 1000) WHERE orchestrator_id = 'later'",
    [atMs + 60_000],
  );
  t.deepEqual(
    await writeBeats(query, [
      beat('newer'),
      beat('over-http', { epoch: null, nodeId: null }),
      beat('as-told', { atMs: atMs + 5 }),
      beat('nobody'),
      beat('elsewhere'),
      beat('independent'),
      beat('later'),
      beat('as-told-2', { epoch: null, nodeId: null }),
    ]),
    [
      { kind: 'superseded', epoch: 2, nodeId: 'node-1' },
      { kind: 'processed', lastSeenMs: atMs },
      { kind: 'processed', lastSeenMs: atMs + 5 },
      { kind: 'unknown', hasSuccessor: false },
      { kind: 'processed', lastSeenMs: atMs },
      { kind: 'ignored' },
      { kind: 'processed', lastSeenMs: atMs + 60_000 },
      { kind: 'unknown', hasSuccessor: false },
    ],
  );
  const seen = await world.sql(
    `SELECT organization_id, (extract(epoch FROM last_seen) * 1000)::float8 AS at, status FROM organizations
     WHERE organization_id NOT LIKE 'plan-%' ORDER BY organization_id`,
  );
  t.deepEqual(seen, [
    { organization_id: 'another-org', at: atMs, status: 'active' },
    { organization_id: 'as-told', at: atMs + 5, status: 'active' },
    { organization_id: 'independent', at: null, status: 'inactive' },
    { organization_id: 'later', at: atMs + 60_000, status: 'active' },
    { organization_id: 'newer', at: null, status: 'inactive' },
    { organization_id: 'over-http', at: atMs, status: 'active' },
  ]);
});

test('rows are looked for by their own ids, and not in all of an organization or of a table', async (t) => {
  await world.sql(
    `INSERT INTO organizations (organization_id, name) SELECT 'plan-' || n, 'Plan' FROM generate_series(1, 3000) n`,
  );
  await world.sql(
    `INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name)
     SELECT 'plan-' || n, 'plan-' || n, 'Plan' FROM generate_series(1, 3000) n`,
  );
  await world.sql('ANALYZE organizations, orchestrator_instances');
  const plans: string[] = [];
  // One that its connection knows, and one that is looked for.
  await writeBeats(
    async (statement, parameters = []) => {
      const plan = await world.sql(`EXPLAIN (GENERIC_PLAN) ${statement}`);
      plans.push(plan.map((row) => row['QUERY PLAN']).join('\n'));
      return world.sql(statement, [...parameters]);
    },
    [beat('plan-1', { epoch: 0 }), beat('plan-2', { organizationId: 'plan-1' })],
  );
  t.is(plans.length, 2);
  for (const plan of plans) {
    t.notRegex(plan, /Seq Scan|orchestrator_instances_of_organization|Hash Join|Merge Join/);
    t.regex(plan, /Index Scan using orchestrator_instances_pkey/);
  }
});
