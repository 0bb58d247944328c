// Owns the frames that this replica sent and that nobody has answered for, in their order to each orchestrator.
import type { Frame } from '../queue/frame.ts';
import type { Outcome } from '../queue/outcomes.ts';
import type { Step } from '../tracing.ts';

export interface Followed {
  readonly frame: Frame;
  /** What it takes, about, as JSON. */
  readonly bytes: number;
  /** When it was last put into a queue, ms by the clock; 0: not yet. */
  routedAt: number;
  /** When it goes out again if nobody has answered by then, ms by the clock. */
  resendAt: number;
  /** From the last sending to the next. */
  pauseMs: number;
  /** The replica whose queue it was last put into. */
  target: string | undefined;
  /** Ends when it is in a queue. */
  readonly step: Step;
  /** Absent where nobody waits. */
  readonly outcome: PromiseWithResolvers<Outcome> | undefined;
}

export interface FollowedFrames {
  add(send: Followed): void;
  delete(send: Followed): void;
  has(send: Followed): boolean;
  get(messageId: string): Followed | undefined;
  all(): Followed[];
  /** Those to one orchestrator, oldest first. */
  to(orchestratorId: string): Iterable<Followed>;
  readonly size: number;
  /** What all of them take. */
  readonly bytes: number;
}

export function createFollowed(): FollowedFrames {
  let bytes = 0;
  const byMessage = new Map<string, Followed>();
  const byOrchestrator = new Map<string, Set<Followed>>();
  const siblings = (send: Followed) => byOrchestrator.get(send.frame.orchestrator_id) ?? new Set<Followed>();

  return {
    add(send) {
      bytes += send.bytes;
      byMessage.set(send.frame.message_id, send);
      byOrchestrator.set(send.frame.orchestrator_id, siblings(send).add(send));
    },
    delete(send) {
      if (byMessage.delete(send.frame.message_id)) bytes -= send.bytes;
      const left = siblings(send);
      left.delete(send);
      if (left.size === 0) byOrchestrator.delete(send.frame.orchestrator_id);
    },
    has: (send) => byMessage.has(send.frame.message_id),
    get: (messageId) => byMessage.get(messageId),
    all: () => [...byMessage.values()],
    to: (orchestratorId) => byOrchestrator.get(orchestratorId) ?? [],
    get size() {
      return byMessage.size;
    },
    get bytes() {
      return bytes;
    },
  };
}
