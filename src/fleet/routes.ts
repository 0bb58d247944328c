// Owns the routing of what a replica sends: to which queues it goes, in an order that holds.
import { type Batcher, createBatcher } from '../batcher.ts';
import type { Clock } from '../clock.ts';
import type { Metrics } from '../metrics.ts';
import type { Outbox } from '../queue/outbox.ts';
import type { Owner, Presence } from '../redis/presence.ts';
import type { Followed, FollowedFrames } from './followed.ts';

type Routed = { kind: 'queued' } | { kind: 'not_connected' } | { kind: 'failed'; error: unknown };

interface Routes {
  /** Takes what is followed, by its message id, and says what became of it. */
  readonly routes: Batcher<Followed, Routed>;
  /** Whether a frame is to go out again: its orchestrator has moved, or nobody answered for it in time. */
  isDue(send: Followed, owner: Owner): boolean;
}

export function createRoutes(dependencies: {
  presence: Presence;
  outbox: Outbox;
  followed: FollowedFrames;
  clock: Clock;
  resendAfterMs: number;
  metrics: Metrics;
}): Routes {
  const { presence, outbox, followed, clock, resendAfterMs, metrics } = dependencies;

  // One look-up of owners and one write a queue for all that is sent at once. One flush at a time, in the order of
  // the calls: that is what keeps the order of messages.
  const routes = createBatcher<Followed, Routed>({
    flush: route,
    onFailure: () => 'refuse',
    watch: metrics.batch('routes'),
  });

  async function route(sends: readonly Followed[]): Promise<Routed[]> {
    const ids = [...new Set(sends.map((send) => send.frame.orchestrator_id))];
    const found = await presence.owners(ids);
    const owners = new Map(ids.map((id, at) => [id, found[at]]));
    const doubt = found.includes(undefined) ? await doubtOf() : undefined;
    const queues = new Map<string, Followed[]>();
    const placed = new Set<Followed>();
    // Nobody waits any more for one that was answered meanwhile.
    const asked = Map.groupBy(
      sends.filter((send) => followed.has(send)),
      (send) => send.frame.orchestrator_id,
    );
    for (const [id, those] of asked) {
      const owner = owners.get(id);
      if (owner === undefined) continue;
      const left = new Set(those);
      let before: Followed | undefined;
      for (const each of followed.to(id)) {
        if (left.size === 0) break;
        const wanted = left.delete(each);
        // What went out before and is due goes again, and first.
        if (each.routedAt === 0 ? wanted : isDue(each, owner)) {
          place(each, owner, before);
          placed.add(each);
          const queue = queues.get(owner.nodeId) ?? [];
          queues.set(owner.nodeId, queue);
          queue.push(each);
        }
        if (each.routedAt > 0) before = each;
      }
    }
    const failures = new Map<Followed, unknown>();
    const writes = [...queues].map(async ([target, queue]) => {
      try {
        await outbox.enqueue(
          target,
          queue.map((each) => each.frame),
        );
      } catch (error) {
        for (const each of queue) {
          failures.set(each, error);
          // Whether it stands there is not known: it is due again.
          each.resendAt = 0;
        }
      }
    });
    await Promise.all(writes);
    return sends.map((send) => {
      if (failures.has(send)) return { kind: 'failed', error: failures.get(send) };
      if (placed.has(send) || send.routedAt > 0) return { kind: 'queued' };
      return doubt === undefined ? { kind: 'not_connected' } : { kind: 'failed', error: doubt };
    });
  }

  /** Why one that was not found may be connected all the same. */
  async function doubtOf(): Promise<unknown> {
    try {
      await presence.requireWhole();
      return undefined;
    } catch (error) {
      return error;
    }
  }

  function isDue(send: Followed, owner: Owner): boolean {
    return send.frame.epoch < owner.epoch || clock.now() >= send.resendAt;
  }

  function place(send: Followed, owner: Owner, before: Followed | undefined): void {
    const now = clock.now();
    send.pauseMs = send.routedAt === 0 || send.frame.epoch < owner.epoch ? resendAfterMs : send.pauseMs * 2;
    if (send.target !== undefined)
      (send.target === owner.nodeId ? metrics.framesResent : metrics.framesRerouted).inc();
    send.routedAt = now;
    send.resendAt = now + send.pauseMs;
    send.target = owner.nodeId;
    send.frame.epoch = owner.epoch;
    send.frame.after = before?.frame.message_id ?? null;
  }

  return { routes, isDue };
}
