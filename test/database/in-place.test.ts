// Heartbeats change rows in place, in the words of Postgres HOT: no index has to be told.
import test from 'ava';
import { openCluster } from '../support/cluster.ts';
import { connectOrchestrator } from '../support/orchestrator.ts';
import { until } from '../support/until.ts';

test('of the rows that 1,000 heartbeats change, more than 95 of 100 stay on their page', async (t) => {
  t.timeout(60_000);
  // A Postgres of its own: a transaction that anybody holds open on the server, in another database too, keeps what was
  // changed since from making room.
  await using cluster = await openCluster({ replicas: 1 });
  const [replica] = cluster.replicas;
  if (replica === undefined) throw new Error('no replica');
  const fleet = await Promise.all(
    Array.from({ length: 40 }, async (_, at) => {
      const orchestrator = await connectOrchestrator(replica.url);
      await orchestrator.handshake(`beating-${at}`);
      return orchestrator;
    }),
  );
  const read = async () => {
    const rows = await cluster.sql(
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
  await replica.stop();
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
