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

/** What is to go to one orchestrator now, if this is its owner. */
interface Plan {
  readonly id: string;
  readonly owner: Owner | undefined;
  readonly placed: readonly Placed[];
}

interface Placed {
  readonly send: Followed;
  /** As it was before. */
  readonly before: Pick<Followed, 'routedAt' | 'resendAt' | 'pauseMs' | 'target'>;
  readonly epoch: number;
  readonly after: string | null;
}

/** Owners that are remembered, about 100 bytes each. */
const ownersKept = 20_000;

export function createRoutes(dependencies: {
  presence: Presence;
  outbox: Outbox;
  followed: FollowedFrames;
  clock: Clock;
  resendAfterMs: number;
  metrics: Metrics;
}): Routes {
  const { presence, outbox, followed, clock, resendAfterMs, metrics } = dependencies;

  // One step in Redis for all that is sent at once. One flush at a time, in the order of the calls: that is what keeps
  // the order of messages.
  const routes = createBatcher<Followed, Routed>({
    flush: route,
    onFailure: () => 'refuse',
    watch: metrics.batch('routes'),
  });

  /**
   * Who owned whom when it was last asked. It may be wrong: the step that appends to a queue looks again, and appends
   * only where it is right. So whoever is known costs one way to Redis, and who is not, or has moved, two.
   */
  const owners = new Map<string, Owner>();

  function remember(id: string, owner: Owner | undefined): void {
    owners.delete(id);
    if (owner === undefined) return;
    owners.set(id, owner);
    const [oldest] = owners.keys();
    if (owners.size > ownersKept && oldest !== undefined) owners.delete(oldest);
  }

  async function route(sends: readonly Followed[]): Promise<Routed[]> {
    const queued = new Set<Followed>();
    const failures = new Map<Followed, unknown>();
    let unknown = false;
    // Nobody waits any more for one that was answered meanwhile.
    const asked = Map.groupBy(
      sends.filter((send) => followed.has(send)),
      (send) => send.frame.orchestrator_id,
    );
    while (asked.size > 0) {
      const plans = [...asked].map(([id, those]) => plan(id, those));
      let found: (Owner | undefined)[];
      try {
        found = await offer(plans);
      } catch (error) {
        for (const those of asked.values()) for (const send of those) failures.set(send, error);
        break;
      }
      for (const [at, { id, owner, placed }] of plans.entries()) {
        const owns = found[at];
        remember(id, owns);
        if (owner?.epoch === owns?.epoch && owner?.nodeId === owns?.nodeId) {
          asked.delete(id);
          for (const each of placed) queued.add(each.send);
          count(placed);
          unknown ||= owns === undefined;
        } else for (const each of placed) undo(each);
      }
    }
    const doubt = unknown ? await doubtOf() : undefined;
    return sends.map((send) => {
      if (failures.has(send)) return { kind: 'failed', error: failures.get(send) };
      if (queued.has(send) || send.routedAt > 0) return { kind: 'queued' };
      return doubt === undefined ? { kind: 'not_connected' } : { kind: 'failed', error: doubt };
    });
  }

  async function offer(plans: readonly Plan[]): Promise<(Owner | undefined)[]> {
    const bundles = plans.map(({ id, owner, placed }) => ({
      orchestratorId: id,
      owner,
      frames: placed.map(({ send }) => send.frame),
    }));
    try {
      return await outbox.offer(bundles);
    } catch (error) {
      // Whether it stands in a queue is not known: it is due again.
      for (const { placed } of plans) for (const { send } of placed) send.resendAt = 0;
      throw error;
    }
  }

  function plan(id: string, those: readonly Followed[]): Plan {
    const owner = owners.get(id);
    const placed: Placed[] = [];
    if (owner === undefined) return { id, owner, placed };
    const left = new Set(those);
    let before: Followed | undefined;
    for (const each of followed.to(id)) {
      if (left.size === 0) break;
      const wanted = left.delete(each);
      // What went out before and is due goes again, and first.
      if (each.routedAt === 0 ? wanted : isDue(each, owner)) placed.push(place(each, owner, before));
      if (each.routedAt > 0) before = each;
    }
    return { id, owner, placed };
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

  function place(send: Followed, owner: Owner, behind: Followed | undefined): Placed {
    const { routedAt, resendAt, pauseMs, target } = send;
    const { epoch, after } = send.frame;
    const now = clock.now();
    send.pauseMs = routedAt === 0 || epoch < owner.epoch ? resendAfterMs : pauseMs * 2;
    send.routedAt = now;
    send.resendAt = now + send.pauseMs;
    send.target = owner.nodeId;
    send.frame.epoch = owner.epoch;
    send.frame.after = behind?.frame.message_id ?? null;
    return { send, before: { routedAt, resendAt, pauseMs, target }, epoch, after };
  }

  /** It was not put anywhere. */
  function undo({ send, before, epoch, after }: Placed): void {
    // It may have come to be due meanwhile.
    const resendAt = send.resendAt === 0 ? 0 : before.resendAt;
    Object.assign(send, before, { resendAt });
    Object.assign(send.frame, { epoch, after });
  }

  function count(placed: readonly Placed[]): void {
    for (const { send, before } of placed)
      if (before.target !== undefined)
        (before.target === send.target ? metrics.framesResent : metrics.framesRerouted).inc();
  }

  return { routes, isDue };
}
