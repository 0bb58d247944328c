// Owns the taking of entries from a stream: each is handled, and then deleted. What is there is what nobody has handled.
import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { within } from '../deadline.ts';
import type { Log } from '../log.ts';

const takenAtOnce = 100;
/** Shorter than the silence behind which a connection counts as lost. */
const blockMs = 5_000;
/** How long what is in hand may take to be handled and deleted, when there is to be an end. */
const recordedWithinMs = 1_000;
const retryMs = 100;
/** No entry has it. */
const noEntry = '0-0';

const entrySchema = z.tuple([z.string(), z.array(z.string())]);
type Entry = z.infer<typeof entrySchema>;
const readSchema = z.tuple([z.tuple([z.string(), z.array(entrySchema)])]).nullable();

/**
 * Starts to take entries, oldest first, one after the other. It always reads from the beginning, never from where it was:
 * entries of a Redis that has come back empty, or of another server with another clock, may well have lower ids.
 * @param options.redis a connection of its own that waits out an outage
 * @param options.handle never rejects
 * @returns ends it: resolves when what is in hand is handled and deleted, or was given the time for it
 */
export function createConsumer(options: {
  redis: Redis;
  key: string;
  handle(value: string): Promise<void>;
  log: Log;
}): (how: { force: boolean }) => Promise<void> {
  const { redis, key, handle, log } = options;
  let closing = false;
  /** Settled when what was taken last is deleted. */
  let inHand: PromiseWithResolvers<void> | undefined;

  async function handleAll(entries: readonly Entry[]): Promise<string[]> {
    const handled: string[] = [];
    for (const [id, fields] of entries) {
      if (closing) break;
      await handle(fields[1] ?? '');
      handled.push(id);
    }
    return handled;
  }

  /** Said each time, with or without anything to delete: a server that has become a replica refuses what would write. */
  async function deleteAll(handled: readonly string[]): Promise<void> {
    await redis.xdel(key, noEntry, ...handled);
    inHand?.resolve();
    inHand = undefined;
  }

  async function take(): Promise<void> {
    let handled: string[] = [];
    while (!closing) {
      try {
        // Both at once, one way there and one back: what is read is what is left behind the deletion.
        const [, read] = await Promise.all([
          deleteAll(handled),
          redis.xread('COUNT', takenAtOnce, 'BLOCK', blockMs, 'STREAMS', key, '0'),
        ]);
        handled = [];
        const [[, entries] = [key, []]] = readSchema.parse(read) ?? [];
        if (closing || entries.length === 0) continue;
        inHand = Promise.withResolvers();
        handled = await handleAll(entries);
        // What was emitted is on its way first.
        await new Promise(setImmediate);
      } catch (error) {
        if (closing) return;
        log.debug({ source: 'outbox', error }, 'The queue could not be read; it is tried again');
        await pause(retryMs);
      }
    }
    if (inHand !== undefined) await deleteAll(handled);
  }
  const ended = take().catch((error: unknown) =>
    log.debug({ source: 'outbox', error }, 'What was handled last could not be taken out of the queue'),
  );

  return async ({ force }) => {
    closing = true;
    if (force || inHand === undefined) return;
    const late = () => new Error('Redis does not answer');
    await within(recordedWithinMs, Promise.race([inHand.promise, ended]), late).catch(() => undefined);
  };
}
