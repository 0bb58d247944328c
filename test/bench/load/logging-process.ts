// The process of a replica that logs much: so many lines a second, rendered by the code's logger and kept by its ring.
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createLogs } from '../../../src/log.ts';
import { createMetrics } from '../../../src/metrics.ts';
import { createKeys } from '../../../src/redis/keys.ts';
import { createLogRing } from '../../../src/redis/log-ring.ts';
import { readOptions, serveRequests } from '../answering.ts';
import { percentileOf } from '../statistics.ts';
import { optionsSchema, requestSchema } from './logging.ts';

const { redisUrl, perSecond } = readOptions(optionsSchema);
const metrics = createMetrics();
const ring = createLogRing({
  redis: new Redis(redisUrl),
  keys: createKeys('moolai'),
  // As shipped.
  ...{ size: 5_000, auditSize: 2_000, backlog: 10_000, metrics },
  onDropped: () => undefined,
});
const { log } = createLogs({ level: 'silent', ringLevel: 'debug', nodeId: 'node-of-the-load', ring });

const totalOf = async (counter: { get(): Promise<{ values: { value: number }[] }> }) =>
  (await counter.get()).values.reduce((sum, { value }) => sum + value, 0);

serveRequests('ready', requestSchema, async ({ ms }) => {
  const before = {
    written: await totalOf(metrics.logLinesWritten),
    dropped: await totalOf(metrics.logLinesDropped),
  };
  const startedAt = performance.now();
  const latencies: number[] = [];
  let sent = 0;
  for (let elapsed = 0; elapsed < ms; elapsed = performance.now() - startedAt) {
    const due = Math.floor((elapsed * perSecond) / 1_000);
    for (; sent < due; sent += 1) {
      const id = `orchestrator-${sent % 10_000}`;
      log.debug(
        { event: 'keepalive', orchestrator_id: id },
        `[C-OCS] Processing heartbeat from orchestrator ${id}`,
      );
    }
    const writtenAt = performance.now();
    void ring.settled().then(() => latencies.push(performance.now() - writtenAt));
    await pause(5);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  await ring.settled();
  return {
    ...{ sent, seconds },
    written: (await totalOf(metrics.logLinesWritten)) - before.written,
    dropped: (await totalOf(metrics.logLinesDropped)) - before.dropped,
    p50Ms: percentileOf(latencies, 0.5),
    p99Ms: percentileOf(latencies, 0.99),
  };
});
