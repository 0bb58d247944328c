// Owns the queues of messages in flight: one for each replica, which delivers what stands in it.
import { type Job, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Log } from '../log.ts';
import type { Keys } from '../redis/keys.ts';
import { type ClosableWorker, closable } from './close-worker.ts';
import { asFrame, type Frame } from './frame.ts';

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

/** One job carries all frames that go to a replica at once: what BullMQ does for a job it does once for all of them. */
const jobSchema = z.array(z.unknown());
/** What a job holds Redis keeps as one string, and its replica reads at once. */
const framesInJob = 100;
const gone = { removeOnComplete: true, removeOnFail: true };
/** Events of jobs, which nobody reads. */
const eventsKept = 100;

export function openOutbox(options: {
  commands: Redis;
  patient(purpose: string): Redis;
  keys: Keys;
  nodeId: string;
  log: Log;
}): Outbox {
  const { commands, keys, log } = options;
  const queues = new Map<string, Queue>();
  let closing: ClosableWorker | undefined;
  const report = (error: Error) => log.debug({ source: 'outbox', error }, `Queue: ${error.message}`);

  function queueOf(nodeId: string): Queue {
    const known = queues.get(nodeId);
    if (known !== undefined) return known;
    const queue = new Queue(`outbound.${nodeId}`, {
      connection: commands,
      prefix: keys.queues,
      streams: { events: { maxLen: eventsKept } },
    });
    queue.on('error', report);
    queues.set(nodeId, queue);
    return queue;
  }

  /** One that goes wrong holds up nobody: its sender knows of it, and sends it again. */
  async function handle(value: unknown, deliver: (frame: Frame) => Promise<void>): Promise<void> {
    try {
      await deliver(asFrame(value));
    } catch (error) {
      log.error({ source: 'outbox', error }, 'A frame could not be handled');
    }
  }

  return {
    async enqueue(nodeId, frames) {
      const jobs = [];
      for (let from = 0; from < frames.length; from += framesInJob) {
        const data = frames.slice(from, from + framesInJob);
        // The name says how many they are, to who counts them.
        jobs.push({ name: `${data.length}`, data, opts: gone });
      }
      const [only, ...others] = jobs;
      if (only !== undefined && others.length === 0) await queueOf(nodeId).add(only.name, only.data, gone);
      else await queueOf(nodeId).addBulk(jobs);
    },
    consume(deliver) {
      const worker = new Worker(
        `outbound.${options.nodeId}`,
        async (job: Job) => {
          for (const value of jobSchema.parse(job.data)) await handle(value, deliver);
          // What was emitted is on its way first.
          await new Promise(setImmediate);
        },
        {
          connection: options.patient('outbox'),
          prefix: keys.queues,
          concurrency: 1,
        },
      );
      closing = closable(worker);
      worker.on('error', report);
      worker.on('failed', (_job, error) =>
        log.error({ source: 'outbox', error }, `Frames could not be handled: ${error.message}`),
      );
    },
    async empty(nodeId, route) {
      const queue = queueOf(nodeId);
      const jobs = await queue.getJobs(['active', 'wait', 'delayed', 'prioritized'], 0, -1, true);
      jobs.sort((a, b) => Number(a.id) - Number(b.id));
      const values = jobs.flatMap((job) => jobSchema.parse(job.data));
      for (const value of values) await route(asFrame(value));
      await queue.obliterate({ force: true });
      queues.delete(nodeId);
      await queue.close();
      return values.length;
    },
    async depth(nodeId) {
      const queue = queueOf(nodeId);
      const ids = await queue.getRanges(['wait'], 0, -1);
      const names = await Promise.all(ids.map((id) => commands.hget(queue.toKey(id), 'name')));
      return names.reduce((sum, name) => sum + Number(name ?? 0), 0);
    },
    async close({ force }) {
      await closing?.close({ force });
      if (force) return;
      for (const queue of queues.values()) await queue.close();
    },
  };
}
