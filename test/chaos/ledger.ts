// Owns what was promised and what came of it: each call, each frame, each acknowledged heartbeat, and every breach.
import { z } from 'zod';
import type { Frame } from '../../src/local/orchestrator-wire.ts';

/** One `/send`. Its number travels in the frame, so that also one that was answered with an error is known again. */
export interface Call {
  readonly number: number;
  readonly orchestratorId: string;
  /** The node_id of the replica that was asked. */
  readonly sender: string;
  readonly timeoutMs: number;
  /** The status code; `nothing` if the replica ended, or paused, before it answered. */
  answer: number | 'nothing' | undefined;
  /** Of each message_id that was handled: when it arrived, ms, and when the controller took the call. */
  readonly arrivals: { messageId: string; atMs: number; takenMs: number }[];
}

export interface Breach {
  readonly kind: string;
  readonly detail: string;
}

export interface Ledger {
  readonly calls: readonly Call[];
  readonly breaches: readonly Breach[];
  /** Of each orchestrator, the times that its heartbeats were acknowledged with, ms. */
  readonly beats: ReadonlyMap<string, ReadonlySet<number>>;
  /** `mistaken` are the calls refused as not connected whose orchestrator had a connection all the while. */
  readonly count: { beats: number; repeats: number; mistaken: number };
  /** How long each 503 took, for calls alone on their connection. A paused replica's are among them. */
  readonly refusalsMs: number[];
  /** Calls through one replica to one orchestrator are opened in the order in which they are sent. */
  open(orchestratorId: string, sender: string, timeoutMs: number): Call;
  /** @param ack what the answer said that the orchestrator had acknowledged with, where it was asked for */
  close(call: Call, answer: number | 'nothing', ack?: unknown): void;
  /** An orchestrator handles a frame that it has not seen. */
  handled(orchestratorId: string, frame: Frame): void;
  beat(orchestratorId: string, ts: string): void;
  broke(kind: string, detail: string): void;
  /** What can only be judged when nothing is under way any more. */
  judge(): void;
}

/** How late the harness itself may be to notice an arrival: it shares two cores with all that it tests. */
export const slackMs = 1_000;
const carried = z.object({ call: z.int() });
/** What a frame carries that belongs to no call of the ledger: sent to see whether sending works. */
export const probe = 'probe';
const expected: ReadonlySet<number | 'nothing' | undefined> = new Set([200, 202, 409, 503, 504, 'nothing']);

export function createLedger(): Ledger {
  const calls: Call[] = [];
  const breaches: Breach[] = [];
  const beats = new Map<string, Set<number>>();
  const count = { beats: 0, repeats: 0, mistaken: 0 };
  /** By orchestrator and sender, in the order of arrival. */
  const arrived = new Map<string, Call[]>();
  const laneOf = (orchestratorId: string, sender: string) => `${orchestratorId} from ${sender}`;
  const broke = (kind: string, detail: string) => void breaches.push({ kind, detail });

  function judge(): void {
    for (const call of calls) {
      const { number, orchestratorId, sender, answer, arrivals, timeoutMs } = call;
      const name = `call ${number} to ${orchestratorId} through ${sender}, answered ${answer}`;
      if (!expected.has(answer)) broke('unexpected answer', name);
      if (answer === 200 && arrivals.length === 0) broke('told delivered, never received', name);
      if (new Set(arrivals.map((each) => each.messageId)).size > 1) broke('sent under two message ids', name);
      if (arrivals.length > 1) broke('handled twice', `${name}: ${arrivals.map((each) => each.messageId)}`);
      for (const { messageId, atMs, takenMs } of arrivals) {
        const lateMs = atMs - takenMs - timeoutMs;
        if (lateMs > slackMs) broke('arrived after its deadline', `${name}: ${messageId}, ${lateMs} ms late`);
      }
    }
    for (const [lane, all] of arrived) {
      // Who was told nothing or 503 does not know whether his frame is on its way: it has no place in the order.
      const ordered = all.filter((call) => call.answer !== 503 && call.answer !== 'nothing');
      let newest = -1;
      for (const { number } of ordered) {
        if (number < newest) broke('out of order', `${lane}: call ${number} after call ${newest}`);
        newest = Math.max(newest, number);
      }
    }
  }

  return {
    calls,
    breaches,
    beats,
    count,
    refusalsMs: [],
    open(orchestratorId, sender, timeoutMs) {
      const call: Call = {
        number: calls.length,
        ...{ orchestratorId, sender, timeoutMs },
        answer: undefined,
        arrivals: [],
      };
      calls.push(call);
      return call;
    },
    close(call, answer, ack) {
      call.answer = answer;
      if (ack !== undefined && carried.safeParse(ack).data?.call !== call.number)
        broke('acknowledgement of another', `call ${call.number} was told ${JSON.stringify(ack)}`);
    },
    handled(orchestratorId, frame) {
      if (frame.data === probe) return;
      const call = calls[carried.safeParse(frame.data).data?.call ?? -1];
      if (call === undefined || call.orchestratorId !== orchestratorId)
        return broke('frame of nobody', `${orchestratorId} received ${JSON.stringify(frame)}`);
      const takenMs = Date.parse(String(frame.timestamp));
      call.arrivals.push({ messageId: frame.message_id, atMs: Date.now(), takenMs });
      const lane = laneOf(orchestratorId, call.sender);
      const before = arrived.get(lane) ?? [];
      arrived.set(lane, before);
      before.push(call);
    },
    beat(orchestratorId, ts) {
      count.beats += 1;
      const times = beats.get(orchestratorId) ?? new Set();
      beats.set(orchestratorId, times.add(Date.parse(ts)));
    },
    broke,
    judge,
  };
}
