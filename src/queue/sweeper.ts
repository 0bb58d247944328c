// Owns the sweep's clock: a BullMQ job scheduler, so that one replica at a time sweeps for the whole cluster.
import { Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { levelOfFailure, reasonOf } from '../availability.ts';
import type { Log } from '../log.ts';
import type { Keys } from '../redis/keys.ts';
import { closable } from './close-worker.ts';

export interface Sweeper {
  /** Enters the schedule, again where Redis has lost it. @throws when Redis is away */
  schedule(): Promise<void>;
  /** @param how.force waits for nothing in hand: Redis is away */
  close(how: { force: boolean }): Promise<void>;
}

const queueName = 'sweep';

/**
 * BullMQ enters the next sweep once a worker has taken the one before. A replica that dies in between leaves the
 * schedule without a job until another finds that its lock has run out: by BullMQ's defaults, up to a minute in which
 * nobody sweeps.
 */
const takenOver = { lockDuration: 10_000, stalledInterval: 5_000 };

export function openSweeper(options: {
  commands: Redis;
  patient(purpose: string): Redis;
  keys: Keys;
  everyMs: number;
  sweep(): Promise<void>;
  log: Log;
}): Sweeper {
  const shared = { prefix: options.keys.queues };
  const report = (error: Error) => options.log.debug({ source: 'sweeper', error }, `Queue: ${error.message}`);
  const queue = new Queue(queueName, { ...shared, connection: options.commands });
  queue.on('error', report);
  const worker = new Worker(queueName, () => options.sweep(), {
    ...shared,
    ...takenOver,
    connection: options.patient('sweeper'),
    concurrency: 1,
  });
  const closing = closable(worker);
  worker.on('error', report);
  let failures = 0;
  worker.on('completed', () => {
    failures = 0;
  });
  worker.on('failed', (_job, error) => {
    failures += 1;
    options.log[levelOfFailure(failures)](
      { source: 'sweeper', error },
      `The sweep failed and will be tried again: ${reasonOf(error)}`,
    );
  });

  return {
    async schedule() {
      await queue.upsertJobScheduler(
        'sweep',
        { every: options.everyMs },
        { name: 'sweep', opts: { removeOnComplete: { count: 1 }, removeOnFail: { count: 10 } } },
      );
    },
    async close({ force }) {
      await closing.close({ force });
      if (!force) await queue.close();
    },
  };
}
