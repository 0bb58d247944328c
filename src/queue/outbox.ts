// Owns the queues of messages in flight: one for each replica, which delivers what stands in it.
import { type Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Log } from '../log.ts';
import type { Keys } from '../redis/keys.ts';
import { type ClosableWorker, closable } from './close-worker.ts';
import { type Frame, frameSchema } from './frame.ts';

export interface Outbox {
  /**
   * Appends frames to a replica's queue, in their order, all or none.
   * @throws when Redis is away
   */
  enqueue(nodeId: string, frames: readonly Frame[]): Promise<void>;
  /** Starts to take frames from this replica's own queue, one after the other, in their order. */
  consume(deliver: (frame: Frame) => Promise<void>): void;
  /**
   * Takes every frame out of a dead or draining replica's queue and hands it to `route`, oldest first. The queue
   * is removed after the last: a failure on the way leaves it as it was, and frames may then be routed twice.
   */
  empty(nodeId: string, route: (frame: Frame) => Promise<void>): Promise<number>;
  /** Frames waiting in a replica's queue. */
  depth(nodeId: string): Promise<number>;
  /** @param how.force waits for nothing in hand: Redis is away */
  close(how: { force: boolean }): Promise<void>;
}

const jobName = 'frame';
/** Finished jobs are of use to nobody; a few stay for a person who looks into Redis. */
const kept = { age: 60, count: 100 };

export function openOutbox(options: {
  commands: Redis;
  patient(purpose: string): Redis;
  keys: Keys;
  nodeId: string;
  log: Log;
}): Outbox {
  const queues = new Map<string, Queue>();
  let closing: ClosableWorker | undefined;
  const report = (error: Error) => options.log.debug({ source: 'outbox', error }, `Queue: ${error.message}`);

  function queueOf(nodeId: string): Queue {
    const known = queues.get(nodeId);
    if (known !== undefined) return known;
    const queue = new Queue(`outbound.${nodeId}`, {
      connection: options.commands,
      prefix: options.keys.queues,
    });
    queue.on('error', report);
    queues.set(nodeId, queue);
    return queue;
  }

  return {
    async enqueue(nodeId, frames) {
      await queueOf(nodeId).addBulk(
        frames.map((frame) => ({
          name: jobName,
          data: frame,
          opts: { removeOnComplete: kept, removeOnFail: kept, attempts: 1 },
        })),
      );
    },
    consume(deliver) {
      const worker = new Worker(
        `outbound.${options.nodeId}`,
        async (job: Job) => {
          await deliver(frameSchema.parse(job.data));
        },
        {
          connection: options.patient('outbox'),
          prefix: options.keys.queues,
          concurrency: 1,
        },
      );
      closing = closable(worker);
      worker.on('error', report);
      worker.on('failed', (_job, error) =>
        options.log.error({ source: 'outbox', error }, `A frame could not be handled: ${error.message}`),
      );
    },
    async empty(nodeId, route) {
      const queue = queueOf(nodeId);
      const jobs = await queue.getJobs(['active', 'wait', 'delayed', 'prioritized'], 0, -1, true);
      jobs.sort((a, b) => Number(a.id) - Number(b.id));
      for (const job of jobs) await route(frameSchema.parse(job.data));
      await queue.obliterate({ force: true });
      queues.delete(nodeId);
      await queue.close();
      return jobs.length;
    },
    depth: (nodeId) => queueOf(nodeId).getWaitingCount(),
    async close({ force }) {
      await closing?.close({ force });
      if (force) return;
      for (const queue of queues.values()) await queue.close();
    },
  };
}
