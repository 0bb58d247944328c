// Heartbeats change rows in place, in the words of Postgres HOT: no index has to be told.
import test from 'ava';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

test('of the rows that 1,000 heartbeats change, more than 95 of 100 stay on their page', async (t) => {
  const world = await openWorld();
  t.teardown(() => world.close());
  const ids = Array.from({ length: 40 }, (_, at) => `beating-${at}`);
  const fleet = await Promise.all(ids.map((id) => world.replica(0).connect(id)));
  const read = async () => {
    const rows = await world.sql(
      `SELECT relname, n_tup_upd::int AS updated, n_tup_hot_upd::int AS in_place FROM pg_stat_user_tables
       WHERE relname IN ('organizations', 'orchestrator_instances') ORDER BY relname`,
    );
    return rows.map(({ relname, updated, in_place }) => ({
      table: String(relname),
      updated: Number(updated),
      inPlace: Number(in_place),
    }));
  };
  for (let round = 0; round < 25; round += 1)
    await Promise.all(fleet.map((orchestrator) => orchestrator.ask('i_am_alive', {})));
  // Each of Postgres's sessions tells its figures when it ends, or else after a while.
  await world.replica(0).controller.stop();
  const tables = await until('what the heartbeats changed to be told', async () => {
    const told = await read();
    return told.every(({ updated }) => updated >= 1_000) && told;
  });
  t.is(tables.length, 2);
  for (const { table, updated, inPlace } of tables) {
    t.log(`${table}: ${inPlace} of ${updated}`);
    t.true(inPlace / updated > 0.95, `${table}: ${inPlace} of ${updated}`);
  }
});
