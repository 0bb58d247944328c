// Owns the log ring: the newest lines of the whole cluster, in one capped Redis stream.
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { createBatcher } from '../batcher.ts';
import { within } from '../deadline.ts';
import { auditShape, type LineSink, logLevels } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { shareRead } from '../shared-read.ts';
import { isRedisAway } from './failures.ts';
import type { Keys } from './keys.ts';
import { loadScript } from './script.ts';

const lineSchema = z.looseObject({
  timestamp: z.string(),
  level: z.enum(logLevels),
  message: z.string().default(''),
  source: z.string(),
  node_id: z.string(),
  event: z.string().optional(),
  orchestrator_id: z.string().optional(),
  organization_id: z.string().optional(),
  /** Of `event: "audit"`: who did what, and with what outcome. */
  audit: auditShape.optional(),
});

export type LogLine = z.infer<typeof lineSchema> & {
  /** Sorts like time, unique in the cluster. */
  id: string;
};

export interface LogRing extends LineSink {
  /**
   * The ring's lines, newest first, the lines that this replica has logged so far among them, and behind them those of
   * the audit that others have pushed out. Many calls at once share
   * one read, and its result.
   * @throws when Redis is away
   */
  read(): Promise<readonly LogLine[]>;
  /** Resolves when every line written so far is in Redis, or was given up. */
  settled(): Promise<void>;
  /** Stops waiting for a Redis that is away. */
  abandon(): void;
}

/** Written by one script: Redis does nothing else meanwhile. */
const linesAtOnce = 500;
const key = 'lines';
/** A read waits no longer for this replica's own lines to be written: it is then told what is there. */
const ownLinesWithinMs = 1_000;

/**
 * @param options.size lines the ring keeps
 * @param options.auditSize lines of the audit that are kept, whatever else there is to tell
 * @param options.backlog lines held in memory while Redis is away or slow; beyond it the oldest are dropped
 * @param options.onDropped told once Redis takes lines again how many were lost
 */
export function createLogRing(options: {
  redis: Redis;
  keys: Keys;
  size: number;
  auditSize: number;
  backlog: number;
  onDropped(count: number): void;
  metrics: Pick<Metrics, 'batch' | 'logLinesWritten' | 'logLinesDropped'>;
}): LogRing {
  const { redis, keys, metrics } = options;
  const append = loadScript(redis, 'append');
  let dropped = 0;
  let reported = 0;

  function lose(count: number): void {
    dropped += count;
    metrics.logLinesDropped.inc(count);
  }

  /** All lines that wait are one entry, so that one more costs next to nothing. */
  const lines = createBatcher<string[], undefined>({
    async flush(batch) {
      for (const waiting of batch)
        while (waiting.length > 0) {
          const next = waiting.slice(0, linesAtOnce);
          await append([keys.logs, keys.audit], [options.size, options.auditSize, ...next]);
          // What is written is written once, whatever becomes of the rest.
          waiting.splice(0, next.length);
          metrics.logLinesWritten.inc(next.length);
        }
      if (dropped > reported) {
        const count = dropped - reported;
        reported = dropped;
        options.onDropped(count);
      }
      return batch.map(() => undefined);
    },
    merge(older, newer) {
      for (const line of newer) older.push(line);
      // A quarter of slack, so that a full backlog is cut now and then and not shifted at every line.
      if (older.length > options.backlog * 1.25) lose(older.splice(0, older.length - options.backlog).length);
      return older;
    },
    weigh: (waiting) => waiting.length,
    onFailure: (error) => (isRedisAway(error) ? 'retry' : 'refuse'),
    onRefused: (_, refused) => lose(refused.length),
    watch: metrics.batch('log_lines'),
  });

  const ownLines = () =>
    within(ownLinesWithinMs, lines.add(key, []), () => new Error('Redis takes the lines too slowly'));

  return {
    write: (line) => lines.put(key, [line]),
    read: shareRead(async () => {
      // First what this replica still holds, so that a caller finds the line of the call it has just made. A Redis that is away fails the read below, and is not waited for here.
      if (redis.status === 'ready') await ownLines().catch(() => undefined);
      const [newest, audit] = await Promise.all([
        redis.xrevrange(keys.logs, '+', '-', 'COUNT', options.size),
        redis.xrevrange(keys.audit, '+', '-', 'COUNT', options.auditSize),
      ]);
      const oldest = newest.at(-1)?.[0];
      const pushedOut = audit.filter(([id]) => oldest === undefined || isOlder(id, oldest));
      return [...newest, ...pushedOut].flatMap(([id, fields]) => {
        const parsed = lineSchema.safeParse(JSON.parse(fields[1] ?? 'null'));
        return parsed.success ? [{ ...parsed.data, id }] : [];
      });
    }),
    settled: () => lines.idle(),
    abandon() {
      lines.abandon(new Error('the replica stops'));
    },
  };
}

/** Ids of a stream are `{milliseconds}-{count}`. */
function isOlder(one: string, other: string): boolean {
  const [ms = 0, count = 0] = one.split('-').map(Number);
  const [otherMs = 0, otherCount = 0] = other.split('-').map(Number);
  return ms < otherMs || (ms === otherMs && count < otherCount);
}
