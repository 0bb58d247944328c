// Owns the log ring: the newest lines of the whole cluster, in one capped Redis stream, of many lines an entry.
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { createBatcher } from '../batcher.ts';
import { within } from '../deadline.ts';
import { auditShape, type LineSink, logLevels } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { shareRead } from '../shared-read.ts';
import { isRedisAway } from './failures.ts';
import { followStream, isOlder } from './followed-stream.ts';
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

/** Lines that are to be written, oldest first. */
interface Waiting {
  readonly lines: string[];
  /** So many of the first were sent, and it is not known whether they were written: they go again, as the same write. */
  tried: number;
}

/** Of the name of a writer, which goes out with each write: enough that no two are called the same. */
const writerBytes = 9;
/** Written by one script: Redis does nothing else meanwhile. */
const linesAtOnce = 1_000;
/** An entry of the stream is cheaper than a line, and read as a whole. */
const linesPerEntry = 100;
/** It is JSON as the logger renders it: within a text these quotes would be escaped. */
const auditMark = '"event":"audit"';
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

  const written = keys.written(randomBytes(writerBytes).toString('base64url'));
  /** Number of the newest write: higher than those before, and its time, so that those of two writers differ. */
  let write = 0;

  /** All lines that wait are one entry, so that one more costs next to nothing. */
  const lines = createBatcher<Waiting, undefined>({
    async flush(batch) {
      for (const waiting of batch)
        while (waiting.lines.length > 0) {
          if (waiting.tried === 0) {
            waiting.tried = Math.min(waiting.lines.length, linesAtOnce);
            write = Math.max(write + 1, Date.now());
          }
          const next = waiting.lines.slice(0, waiting.tried);
          await append(
            [keys.logs, keys.newestLog, keys.audit, written],
            [options.size, options.auditSize, write, ...asEntries(next)],
          );
          // What is written is written once, whatever becomes of the rest.
          waiting.lines.splice(0, next.length);
          waiting.tried = 0;
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
      for (const line of newer.lines) older.lines.push(line);
      // A quarter of slack, so that a full backlog is cut now and then and not shifted at every line.
      if (older.lines.length > options.backlog * 1.25) {
        const cut = older.lines.splice(0, older.lines.length - options.backlog).length;
        older.tried = Math.max(0, older.tried - cut);
        lose(cut);
      }
      return older;
    },
    weigh: (waiting) => waiting.lines.length,
    onFailure: (error) => (isRedisAway(error) ? 'retry' : 'refuse'),
    onRefused: (_, refused) => lose(refused.lines.length),
    watch: metrics.batch('log_lines'),
  });

  const readLines = followStream({ redis, key: keys.logs, size: options.size, parse: parseLines });
  const readAudit = followStream({ redis, key: keys.audit, size: options.auditSize, parse: parseLines });
  const ownLines = () =>
    within(
      ownLinesWithinMs,
      lines.add(key, { lines: [], tried: 0 }),
      () => new Error('Redis takes the lines too slowly'),
    );

  return {
    write: (line) => lines.put(key, { lines: [line], tried: 0 }),
    read: shareRead(async () => {
      // First what this replica still holds, so that a caller finds the line of the call it has just made. A Redis
      // that is away fails the read below, and is not waited for here.
      if (redis.status === 'ready') await ownLines().catch(() => undefined);
      const [newest, audit] = await Promise.all([readLines(), readAudit()]);
      const oldest = newest[0]?.id;
      const kept = oldest === undefined ? -1 : audit.findIndex(({ id }) => !isOlder(id, oldest));
      const pushedOut = kept === -1 ? audit : audit.slice(0, kept);
      return [...pushedOut, ...newest].reverse();
    }),
    settled: () => lines.idle(),
    abandon() {
      lines.abandon(new Error('the replica stops'));
    },
  };
}

/** As append.lua wants them. */
function asEntries(lines: readonly string[]): (string | number)[] {
  const entries: (string | number)[] = [];
  for (let at = 0; at < lines.length; at += linesPerEntry) {
    const some = lines.slice(at, at + linesPerEntry);
    const text = some.join('');
    const audited = text.includes(auditMark)
      ? some.flatMap((line, nth) => (line.includes(auditMark) ? [nth + 1] : []))
      : [];
    entries.push(some.length, text, audited.join(' '));
  }
  return entries;
}

/** As append.lua numbers them. */
function parseLines(entryId: string, text: string): LogLine[] {
  const lines = text.trimEnd().split('\n');
  const [last, write] = entryId.split('-');
  const first = Number(last) - lines.length + 1;
  const found: LogLine[] = [];
  for (const [nth, line] of lines.entries()) {
    const parsed = lineSchema.safeParse(asJson(line));
    if (parsed.success) found.push({ ...parsed.data, id: `${first + nth}-${write}` });
  }
  return found;
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
