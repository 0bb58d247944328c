// Owns the stream of `/send` calls: a few senders, each with orchestrators of its own, at a bounded rate.
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { postAtOnce } from '../support/pipeline.ts';
import type { ReplicaProcess } from '../support/replica-process.ts';
import type { Member } from './fleet.ts';
import type { Call, Ledger } from './ledger.ts';
import type { Random } from './random.ts';

const timeoutMs = 5_000;
/** The answer has a way to go; after that the replica must be dead or paused. */
const patienceMs = timeoutMs + 3_000;
const senders = 16;
/** How long the senders send without a pause when told to hurry. */
const hurryMs = 1_000;
const answerSchema = z.object({ ack: z.unknown() });

export interface Traffic {
  /** Sends as fast as answers come, for a second: a fault that strikes now finds much under way. */
  hurry(): void;
  /** Sends nothing more; resolves once everything is answered or given up. */
  stop(): Promise<void>;
}

/** No orchestrator is sent to by two senders: then the order of the calls to it is that in which one sends them. */
export function startTraffic(options: {
  members: readonly Member[];
  callsPerSecond: number;
  sender: () => ReplicaProcess | undefined;
  ledger: Ledger;
  random: Random;
}): Traffic {
  const { ledger } = options;
  const stopping = new AbortController();
  let hurryUntil = 0;
  let waking = new AbortController();

  async function run(at: number, random: Random): Promise<void> {
    const mine = options.members.filter((_, index) => index % senders === at);
    while (!stopping.signal.aborted && mine.length > 0) {
      const sender = options.sender();
      const calls = random.between(1, 6);
      if (sender !== undefined) {
        const member = random.pick(mine);
        const startedAtMs = Date.now();
        const made = random.chance(0.3)
          ? await pipeline(sender, member.id, calls, random)
          : await oneByOne(sender, member.id, calls, random);
        const stayed = member.orchestrator.state === 'connected' && member.connectedAtMs < startedAtMs;
        if (stayed) ledger.count.mistaken += made.filter((call) => call.answer === 409).length;
      }
      if (sender !== undefined && performance.now() < hurryUntil) continue;
      await pause((1_000 * calls * senders) / options.callsPerSecond, undefined, {
        signal: AbortSignal.any([stopping.signal, waking.signal]),
      }).catch(() => undefined);
    }
  }

  const pathOf = (id: string) => `/api/v1/internal/orchestrators/${id}/send`;
  function draw(call: Call, random: Random) {
    const wait = random.chance(0.7);
    return {
      type: 'chaos',
      data: { call: call.number },
      wait,
      ack: wait && random.chance(0.4),
      timeout_ms: timeoutMs,
    };
  }

  async function oneByOne(sender: ReplicaProcess, id: string, count: number, random: Random) {
    const calls: Call[] = [];
    while (calls.length < count) calls.push(await single(sender, id, random));
    return calls;
  }

  async function single(sender: ReplicaProcess, id: string, random: Random): Promise<Call> {
    const call = ledger.open(id, sender.nodeId, timeoutMs);
    const body = draw(call, random);
    const startedAt = performance.now();
    try {
      const answer = await sender.api.request(pathOf(id), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(patienceMs),
      });
      const told =
        answer.status === 200 && body.ack ? (answerSchema.parse(answer.body).ack ?? null) : undefined;
      ledger.close(call, answer.status, told);
      if (answer.status !== 503) return call;
      ledger.refusalsMs.push(performance.now() - startedAt);
      if (!answer.headers.has('retry-after'))
        ledger.broke('unavailable without Retry-After', `call ${call.number} through ${sender.nodeId}`);
    } catch {
      // The replica is gone, or does not move: what became of the call nobody was told.
      ledger.close(call, 'nothing');
    }
    return call;
  }

  /** All on one connection, none waiting for another's answer. */
  async function pipeline(
    sender: ReplicaProcess,
    id: string,
    count: number,
    random: Random,
  ): Promise<Call[]> {
    const calls = Array.from({ length: count }, () => ledger.open(id, sender.nodeId, timeoutMs));
    const bodies = calls.map((call) => draw(call, random));
    try {
      const statuses = await postAtOnce(sender.url, pathOf(id), bodies, patienceMs);
      for (const [at, call] of calls.entries()) ledger.close(call, statuses[at] ?? 'nothing');
    } catch {
      for (const call of calls) ledger.close(call, 'nothing');
    }
    return calls;
  }

  const running = Array.from({ length: senders }, (_, at) => run(at, options.random.fork()));
  return {
    hurry() {
      hurryUntil = performance.now() + hurryMs;
      waking.abort();
      waking = new AbortController();
    },
    async stop() {
      stopping.abort();
      await Promise.all(running);
    },
  };
}
