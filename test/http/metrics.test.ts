// The metrics of a replica count what it does.
import test from 'ava';
import { openWorld, type World } from '../support/world.ts';

let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

/** The samples of one counter, by outcome. */
async function countsOf(name: string): Promise<Record<string, number>> {
  const { body } = await world.api.get('/metrics');
  const samples: string[] = body.split('\n').filter((line: string) => line.startsWith(`${name}{`));
  return Object.fromEntries(
    samples.map((line) => [/outcome="(\w+)"/.exec(line)?.[1] ?? line, Number(line.split(' ').at(-1))]),
  );
}

// One after the other: they count on the same replica.
test.serial('heartbeats are counted by what became of them', async (t) => {
  const beats = () => countsOf('moolai_heartbeats_total');
  const orchestrator = await world.replica(0).connect('beats-1');
  t.deepEqual(await beats(), {});

  for (let beat = 0; beat < 2; beat += 1) await orchestrator.ask('i_am_alive', {});
  await world.api.post('/api/v1/internal/orchestrators/heartbeat', { orchestrator_id: 'beats-1' });
  t.deepEqual(await beats(), { processed: 3 });

  await world.api.put('/api/v1/internal/orchestrators/beats-1/independence', { is_independent: true });
  await orchestrator.ask('i_am_alive', {});
  t.deepEqual(await beats(), { processed: 3, ignored: 1 });
});

test.serial('sends are counted by their outcome', async (t) => {
  const sends = () => countsOf('moolai_sends_total');
  const send = (id: string, body: object) =>
    world.api.post(`/api/v1/internal/orchestrators/${id}/send`, { type: 'note', ...body });
  const orchestrator = await world.replica(0).connect('sends-1');
  orchestrator.socket.on('note', (_frame, acknowledge) => acknowledge?.('seen'));
  t.deepEqual(await sends(), {});

  for (let count = 0; count < 2; count += 1) t.is((await send('sends-1', {})).status, 200);
  t.deepEqual(await sends(), { received: 2 });

  t.is((await send('sends-1', { ack: true })).status, 200);
  t.is((await send('sends-1', { wait: false })).status, 202);
  t.is((await send('nobody', {})).status, 409);
  t.deepEqual(await sends(), { received: 2, acknowledged: 1, queued: 1, not_connected: 1 });
});
