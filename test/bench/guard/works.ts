// Owns the pieces of work that are counted: heartbeats, handshakes and sends, so driven that batches fall out alike.
import { createApi } from '../../support/api.ts';
import { until } from '../../support/until.ts';
import { openWire, type Wire } from '../load/wire.ts';
import type { Door, Scene } from './scene.ts';

export interface Work {
  /** How many pieces one run does. */
  readonly pieces: number;
  /** What a run needs and is not counted. */
  prepare?(): Promise<void>;
  run(): Promise<void>;
}

export const workNames = [
  'firstHandshakes',
  'handshakes',
  'heartbeats',
  'loneHeartbeats',
  'sends',
  'loneSends',
] as const;
export type WorkName = (typeof workNames)[number];

const burst = 1_000;
/** Nothing is batched there: each piece waits for the one before. */
const alone = 100;
const sends = 200;
const sendsAtOnce = 20;

export async function openWorks({ doors }: Scene): Promise<Readonly<Record<WorkName, Work>>> {
  const [near, far] = doors;
  const crowd: Wire[] = [];
  const crowdId = (at: number) => `near-${at}`;
  const few = await openWires(far, sendsAtOnce);
  const fewId = (at: number) => `far-${at}`;
  await Promise.all(few.map((wire, at) => shakeHands(wire, fewId(at))));
  const apis = doors.map(({ callersUrl }) => createApi(callersUrl));
  const targets = few.flatMap((_, at) => [fewId(at), crowdId(at)]);

  async function connectCrowd(): Promise<void> {
    for (const wire of crowd.splice(0)) wire.socket.close();
    crowd.push(...(await openWires(near, burst)));
  }

  /** In pairs: one orchestrator of each replica through the one replica, then as many through the other. */
  async function send(at: number): Promise<void> {
    const answer = await apis[(at >> 1) % apis.length]?.post(
      `/api/v1/internal/orchestrators/${targets[at % targets.length]}/send`,
      { type: 'reload_models', data: { models: ['small'] } },
    );
    if (answer?.status !== 200) throw new Error(`a send was answered ${JSON.stringify(answer?.body)}`);
  }

  const handshakes: Work = {
    pieces: burst,
    prepare: connectCrowd,
    run: () => allAtOnce(near, () => crowd.map((wire, at) => shakeHands(wire, crowdId(at)))),
  };
  return {
    /** Of orchestrators that nobody has heard of: counted before the others. */
    firstHandshakes: handshakes,
    handshakes,
    heartbeats: {
      pieces: burst,
      run: () => allAtOnce(near, () => crowd.map(beat)),
    },
    loneHeartbeats: {
      pieces: alone,
      run: () => repeat(alone, () => Promise.all(few.slice(0, 1).map(beat))),
    },
    sends: {
      pieces: sends,
      async run() {
        let next = 0;
        const one = () => repeat(sends / sendsAtOnce, () => send(next++));
        await Promise.all(Array.from({ length: sendsAtOnce }, one));
      },
    },
    loneSends: { pieces: alone, run: () => repeat(alone, send) },
  };
}

async function repeat(times: number, piece: (at: number) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < times; at += 1) await piece(at);
}

function openWires({ orchestratorsUrl }: Door, count: number): Promise<Wire[]> {
  return Promise.all(Array.from({ length: count }, () => openWire(orchestratorsUrl)));
}

async function shakeHands(wire: Wire, id: string): Promise<void> {
  const metadata = { name: `Orchestrator ${id}`, location: 'Oslo', version: '1.0.0' };
  await wire.call('handshake', { type: 'handshake', data: { orchestrator_id: id, metadata } });
}

async function beat(wire: Wire): Promise<void> {
  const ack = await wire.call('i_am_alive', { type: 'i_am_alive' });
  if (!ack.includes('"processed"')) throw new Error(`a heartbeat was answered ${ack}`);
}

/**
 * All of it waits at the replica's sockets before it reads the first: else how many batches it makes of them would be a
 * matter of who is quicker.
 */
async function allAtOnce({ replica, orchestrators }: Door, start: () => Promise<void>[]): Promise<void> {
  replica.pause();
  const before = orchestrators.sentBytes;
  const done = Promise.all(start());
  let last = before;
  await until('all of it to wait at the replica', () => {
    const { sentBytes } = orchestrators;
    const still = sentBytes > before && sentBytes === last;
    last = sentBytes;
    return still;
  }).finally(() => replica.resume());
  await done;
}
