// Owns the queues of messages in flight: one for each replica, a stream in Redis, from which it takes what it delivers.
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Log } from '../log.ts';
import type { Keys } from '../redis/keys.ts';
import { asOwner, type Owner } from '../redis/presence.ts';
import { loadScript } from '../redis/script.ts';
import { createConsumer } from './consumer.ts';
import { type Frame, readFrame } from './frame.ts';

/** Frames for one orchestrator, in their order. */
export interface Bundle {
  readonly orchestratorId: string;
  /** Who has it, as the sender knows; undefined: it does not. */
  readonly owner: Owner | undefined;
  readonly frames: readonly Frame[];
}

export interface Outbox {
  /**
   * Appends each bundle to its owner's queue if that owner is the one that counts, and else nothing of it. Atomic.
   * @returns the owners that count, in the order of the bundles; undefined where nobody is connected through a live node
   * @throws when Redis is away
   */
  offer(bundles: readonly Bundle[]): Promise<(Owner | undefined)[]>;
  /** Appends a frame to a replica's queue, whoever counts. @throws when Redis is away */
  enqueue(nodeId: string, frame: Frame): Promise<void>;
  /** Starts to take frames from this replica's own queue, one after the other, in their order. */
  consume(deliver: (frame: Frame) => Promise<void>): void;
  /**
   * Takes every frame out of a dead or draining replica's queue and hands it to `route`, oldest first. The queue
   * is removed after the last: a failure on the way leaves some of it, and frames may then be routed twice.
   */
  empty(nodeId: string, route: (frame: Frame) => Promise<void>): Promise<number>;
  /** Frames that stand in a replica's queue, those in hand among them. */
  depth(nodeId: string): Promise<number>;
  /**
   * Takes no frame any more. Resolves when those in hand are handled and out of the queue, or were given the time for it.
   * @param how.force waits for nothing in hand: Redis is away
   */
  close(how: { force: boolean }): Promise<void>;
}

/** No message may take longer than half of it, by the schema of `/send`. */
const frameLifeMs = 60_000;
const emptiedAtOnce = 500;
const offerReply = z.array(z.string());

export function openOutbox(options: {
  commands: Redis;
  patient(purpose: string): Redis;
  keys: Keys;
  nodeId: string;
  log: Log;
}): Outbox {
  const { commands, keys, log } = options;
  const offerScript = loadScript(commands, 'offer');
  const closeQueueScript = loadScript(commands, 'close-queue');
  let stop: ReturnType<typeof createConsumer> | undefined;

  return {
    async offer(bundles) {
      const args = bundles.flatMap(({ orchestratorId, owner, frames }) => [
        orchestratorId,
        owner === undefined ? '' : `${owner.epoch} ${owner.nodeId}`,
        frames.length,
        ...frames.map((frame) => JSON.stringify(frame)),
      ]);
      const reply = await offerScript([keys.owners, keys.nodes], [keys.outbound(''), frameLifeMs, ...args]);
      return offerReply.parse(reply).map(asOwner);
    },
    async enqueue(nodeId, frame) {
      const key = keys.outbound(nodeId);
      const done = await commands
        .multi()
        .xadd(key, '*', 'frame', JSON.stringify(frame))
        .pexpire(key, frameLifeMs)
        .exec();
      for (const [error] of done ?? []) if (error !== null) throw error;
    },
    consume(deliver) {
      stop = createConsumer({
        redis: options.patient('outbox'),
        key: keys.outbound(options.nodeId),
        async handle(json) {
          try {
            await deliver(readFrame(json));
          } catch (error) {
            log.error({ source: 'outbox', error }, 'A frame could not be handled');
          }
        },
        log,
      });
    },
    async empty(nodeId, route) {
      const key = keys.outbound(nodeId);
      let emptied = 0;
      while (Number(await closeQueueScript([key], [])) > 0) {
        const entries = await commands.xrange(key, '-', '+', 'COUNT', emptiedAtOnce);
        for (const [, fields] of entries) await route(readFrame(fields[1] ?? ''));
        emptied += entries.length;
        if (entries.length > 0) await commands.xdel(key, ...entries.map(([id]) => id));
      }
      return emptied;
    },
    depth: (nodeId) => commands.xlen(keys.outbound(nodeId)),
    async close({ force }) {
      await stop?.({ force });
    },
  };
}
