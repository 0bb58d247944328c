// Owns one race: sockets of a few ids that come and go on replicas which are killed and paused, and what must be true
// once all of it has come to rest.
import fc from 'fast-check';
import type { Cluster } from './cluster.ts';
import { type Contender, contend } from './contender.ts';
import type { ReplicaProcess } from './replica-process.ts';
import { findDisagreements, living, untilAtRest } from './standing.ts';
import { until } from './until.ts';

const ids = 5;
const slots = 3;
const id = fc.nat({ max: ids - 1 });
const at = fc.nat({ max: slots - 1 });

/** One step of a race; `at` is the place of a replica, which one that is killed leaves to another. */
export type Action =
  | { kind: 'connect'; id: number; at: number }
  | { kind: 'close'; nth: number }
  | { kind: 'move'; id: number; at: number }
  | { kind: 'beat'; nth: number }
  | { kind: 'send'; id: number; at: number }
  | { kind: 'kill'; at: number }
  | { kind: 'pause'; at: number }
  | { kind: 'outlast'; at: number }
  | { kind: 'resume'; at: number }
  | { kind: 'breathe' };

const step = <Kind extends Action['kind']>(kind: Kind) => fc.constant(kind);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 16, arbitrary: fc.record({ kind: step('connect'), id, at }) },
  { weight: 3, arbitrary: fc.record({ kind: step('close'), nth: fc.nat() }) },
  { weight: 8, arbitrary: fc.record({ kind: step('move'), id, at }) },
  { weight: 3, arbitrary: fc.record({ kind: step('beat'), nth: fc.nat() }) },
  { weight: 12, arbitrary: fc.record({ kind: step('send'), id, at }) },
  { weight: 1, arbitrary: fc.record({ kind: step('kill'), at }) },
  { weight: 2, arbitrary: fc.record({ kind: step('pause'), at }) },
  { weight: 1, arbitrary: fc.record({ kind: step('outlast'), at }) },
  { weight: 3, arbitrary: fc.record({ kind: step('resume'), at }) },
  { weight: 12, arbitrary: fc.record({ kind: step('breathe') }) },
);
export const races = fc.array(action, { minLength: 40, maxLength: 120, size: 'max' });

interface Slot {
  replica: ReplicaProcess;
  isPaused: boolean;
  /** The one that takes the place of a killed replica. */
  replacement: Promise<void> | undefined;
}

interface Sent {
  readonly id: string;
  readonly begunAt: number;
  /** What came of it; 0 where the replica that took the call died of it. */
  readonly answer: Promise<{ status: number; body: unknown }>;
}

export interface Race extends AsyncDisposable {
  take(action: Action): Promise<void>;
  /** Lets everything come to rest. Throws with all that is not as it must be then; returns how sends were answered. */
  rest(): Promise<number[]>;
}

const sendTimeoutMs = 2_000;
/** Several of the leases that the replicas under test hold. */
const restWithinMs = 15_000;
const beatEveryMs = 1_000;
/** How much later than at its deadline a frame may be read here: this process has other things to do. */
const lateMs = 1_000;

export function openRace(cluster: Cluster, name: string): Race {
  const field: Slot[] = living(cluster).map((replica) => ({
    replica,
    isPaused: false,
    replacement: undefined,
  }));
  const contenders: Contender[] = [];
  const sends: Sent[] = [];
  const nameOf = (nth: number) => `${name}-${nth}`;
  const slot = (nth: number): Slot => {
    const found = field[nth];
    if (found === undefined) throw new RangeError(`there is no replica at ${nth}`);
    return found;
  };
  const awake = () => field.find((each) => !each.isPaused && each.replacement === undefined);

  async function take(action: Action): Promise<void> {
    switch (action.kind) {
      case 'connect':
        contenders.push(contend(slot(action.at).replica.url, nameOf(action.id)));
        return;
      case 'close': {
        const open = contenders.filter((each) => !each.isOver);
        return open[action.nth % open.length]?.close();
      }
      case 'move': {
        // The end of the old connection and the handshake of the new one race each other.
        const old = contenders.findLast(
          (each) => each.isConnected && each.orchestratorId === nameOf(action.id),
        );
        contenders.push(contend(slot(action.at).replica.url, nameOf(action.id)));
        // One that stands still answers nobody.
        if (!slot(action.at).isPaused) await contenders.at(-1)?.dialed;
        return old?.close();
      }
      case 'beat':
        return contenders[action.nth % contenders.length]?.beat();
      case 'send':
        return send(nameOf(action.id), slot(action.at).replica);
      case 'kill':
        return kill(slot(action.at));
      case 'pause':
        return pause(slot(action.at));
      case 'outlast':
        pause(slot(action.at));
        return untilForgotten(slot(action.at));
      case 'resume':
        return resume(slot(action.at));
      case 'breathe':
        // As long as a replica takes for one answer: what is under way gets that far.
        await awake()?.replica.api.get('/health/ready');
    }
  }

  function send(orchestratorId: string, via: ReplicaProcess): void {
    const begunAt = Date.now();
    const body = { type: 'note', data: { nth: sends.length }, timeout_ms: sendTimeoutMs };
    const answer = via.api
      .post(`/api/v1/internal/orchestrators/${orchestratorId}/send`, body)
      .catch(() => ({ status: 0, body: undefined }));
    sends.push({ id: orchestratorId, begunAt, answer });
  }

  async function kill(where: Slot): Promise<void> {
    if (where.replacement !== undefined) return;
    where.isPaused = false;
    await where.replica.kill();
    where.replacement = cluster.startReplica().then((replica) => {
      where.replica = replica;
      where.replacement = undefined;
    });
    // Whoever waits for it hears of a failure; the race goes on until then.
    where.replacement.catch(() => undefined);
  }

  function pause(where: Slot): void {
    if (where.replacement !== undefined) return;
    where.isPaused = true;
    where.replica.pause();
  }

  function resume(where: Slot): void {
    if (!where.isPaused) return;
    where.isPaused = false;
    where.replica.resume();
  }

  async function untilForgotten({ replica }: Slot): Promise<void> {
    const other = awake();
    if (other === undefined) return;
    await until(`the lease of ${replica.nodeId} to end`, async () => {
      const nodes: { node_id: string }[] = (await other.replica.api.get('/api/v1/internal/nodes')).body.nodes;
      return !nodes.some((node) => node.node_id === replica.nodeId);
    });
  }

  async function rest(): Promise<number[]> {
    for (const each of field) resume(each);
    for (const each of field) await each.replacement;
    for (const { replica } of field)
      await until('readiness', async () => (await replica.api.get('/health/ready')).status === 200);
    const answers = await Promise.all(sends.map((sent) => sent.answer));
    await until('every handshake to be answered', () =>
      contenders.every((each) => each.isOver || each.welcome !== undefined),
    );
    // They beat meanwhile, as orchestrators do: one whose successor died with its replica, before that could tell the
    // others, is told so by its next heartbeat.
    const pulse = setInterval(() => {
      for (const each of contenders) each.beat();
    }, beatEveryMs);
    await untilAtRest(cluster, contenders, restWithinMs).finally(() => clearInterval(pulse));
    const wrong = deliveries(answers);
    // What has come to rest stays so: a heartbeat of each must not change it.
    for (const each of contenders) each.beat();
    for (const { replica } of field) await replica.api.get('/health/ready');
    wrong.push(...(await findDisagreements(cluster, contenders)));
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
    return answers.map((answer) => answer.status);
  }

  /** What is not as it must be about the frames, once each send is answered and nothing is under way. */
  function deliveries(answers: readonly { status: number; body: unknown }[]): string[] {
    return sends.flatMap((sent, nth) => {
      const wrong: string[] = [];
      const status = answers[nth]?.status ?? 0;
      const rivals = contenders.filter((one) => one.orchestratorId === sent.id);
      const received = rivals.flatMap((one) =>
        one.frames.filter((frame) => isNumber(frame.data, nth)).map((frame) => ({ one, frame })),
      );
      // 503: a replica that stood still finds, once it goes on, that Redis has not answered it in time.
      if (![0, 200, 409, 503, 504].includes(status))
        wrong.push(`send ${nth} was answered ${status}: ${JSON.stringify(answers[nth]?.body)}`);
      if (status === 200 && received.length === 0)
        wrong.push(`send ${nth} was answered 200 and never received`);
      for (const { one, frame } of received) {
        const epoch = one.welcome?.epoch ?? 0;
        const newer = rivals.find(
          ({ welcome }) => welcome !== undefined && welcome.epoch > epoch && welcome.at < sent.begunAt,
        );
        if (newer !== undefined)
          wrong.push(
            `send ${nth} went to epoch ${epoch} of ${sent.id}, begun when ${newer.welcome?.epoch} counted`,
          );
        const late = frame.at - frame.acceptedAt - sendTimeoutMs;
        if (status !== 0 && late > lateMs)
          wrong.push(`send ${nth}, answered ${status}, came ${late} ms late`);
      }
      return wrong;
    });
  }

  return {
    take,
    rest,
    async [Symbol.asyncDispose]() {
      for (const each of contenders) each.close();
      for (const each of field) resume(each);
      await Promise.allSettled(field.map((each) => each.replacement));
      await Promise.all(sends.map((sent) => sent.answer));
    },
  };
}

function isNumber(data: unknown, nth: number): boolean {
  return typeof data === 'object' && data !== null && 'nth' in data && data.nth === nth;
}
