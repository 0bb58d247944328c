// A batch that takes Postgres longer than a statement may is written in smaller ones, rather than tried for ever.
import test from 'ava';
import { rowsOf } from '../support/rows.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const world = await openWorld({ settings: { database: { statementTimeoutMs: 500 } } });
test.after.always(() => world.close());

const { open, connect } = world.replica(0);
const ids = Array.from({ length: 40 }, (_, at) => `slow-${at}`);
const activeRows = async () => {
  const [row] = await world.sql(
    "SELECT count(*)::int AS active FROM orchestrator_instances WHERE orchestrator_id LIKE 'slow-%' AND status = 'active'",
  );
  return row?.active;
};

// One after the other: the second needs Postgres to be quick again.
test.serial(
  'handshakes, heartbeats and disconnects that are too many for one statement are all written',
  async (t) => {
    await world.sql(`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END'`);
    await world.sql(
      'CREATE TRIGGER dawdle BEFORE UPDATE ON orchestrator_instances FOR EACH ROW EXECUTE FUNCTION dawdle()',
    );
    const fleet = await Promise.all(ids.map(() => open()));
    await Promise.all(fleet.map((each, at) => each.handshake(ids[at] ?? '')));
    t.is(await activeRows(), ids.length);

    const acks = await Promise.all(fleet.map((each) => each.ask('i_am_alive', {})));
    t.true(acks.every((ack) => ack.status === 'processed'));

    for (const each of fleet) each.close();
    await until('all rows to be inactive', async () => (await activeRows()) === 0);
    for (const each of fleet) t.false(each.received.some(({ event }) => event === 'error'));
    await world.sql('DROP TRIGGER dawdle ON orchestrator_instances');
  },
);

test.serial('a row that somebody keeps locked holds up its own heartbeat only', async (t) => {
  const stuck = await connect('stuck-1');
  const free = await Promise.all(['free-1', 'free-2', 'free-3'].map((id) => connect(id)));
  const from = (await rowsOf(world, 'stuck-1')).instance?.last_seen;
  const held = await world.hold(
    "SELECT 1 FROM orchestrator_instances WHERE orchestrator_id = 'stuck-1' FOR UPDATE",
  );
  const late = stuck.ask('i_am_alive', {});
  await held.awaited();

  const acks = await Promise.all(free.map((each) => each.ask('i_am_alive', {})));

  t.true(acks.every((ack) => ack.status === 'processed'));
  t.deepEqual((await rowsOf(world, 'stuck-1')).instance?.last_seen, from);
  await held.release();
  t.is((await late).status, 'processed');
});
