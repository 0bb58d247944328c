// Owns the contest of the log: how fast it is read while much is written, and what that costs those who write.
import type { Redis } from 'ioredis';
import { createKeys } from '../../../src/redis/keys.ts';
import { openArena } from '../arena.ts';
import type { Contest, Contestant, Figures } from '../contest.ts';
import { type CallingLoad, startCallingLoad } from '../load/calling.ts';
import { type LoggingLoad, startLoggingLoad } from '../load/logging.ts';
import { processorSeconds } from '../usage.ts';

const linesPerSecond = 5_000;
const callers = 10;
const everyMs = 100;
const warmMs = 1_000;
const [both, idle, alone] = ['read and written', 'read alone', 'written alone'] as const;

export const logs: Contest = {
  name: 'logs',
  title: `GET logs by ${callers} callers every ${everyMs} ms, while another replica writes ${linesPerSecond.toLocaleString('en-US')} lines a second`,
  figures: {
    readsPerSecond: { label: 'reads answered a second', unit: '/s' },
    p50Ms: { label: 'read within, median', unit: 'ms' },
    p99Ms: { label: 'read within, 99 of 100', unit: 'ms' },
    writtenPerSecond: { label: 'lines written a second', unit: '/s' },
    writeP50Ms: { label: 'lines written within, median', unit: 'ms' },
    writeP99Ms: { label: 'lines written within, 99 of 100', unit: 'ms' },
    lost: { label: 'lines lost', unit: '' },
    serverPerThousand: { label: 'processor time of the server for a thousand reads', unit: 's' },
    serverCores: { label: 'busy cores of the server', unit: '' },
    driverCores: { label: 'busy cores of the readers', unit: '' },
  },
  aims: [
    { figure: 'p99Ms', of: both, atMost: 50 },
    { figure: 'lost', of: both, atMost: 0 },
    { figure: 'writtenPerSecond', of: both, to: alone, atLeast: 0.95 },
    { figure: 'writeP50Ms', of: both, to: alone, atMost: 1.05 },
  ],
  async open(stage) {
    const { closing, seconds = 4 } = stage;
    const arena = await openArena(stage, { replicas: 1 });
    const [replica] = arena.replicas;
    if (replica === undefined) throw new Error('no replica');
    const url = `${replica.url}/api/v1/internal/logs`;
    const readers = closing.use(await startCallingLoad({ url, callers, everyMs, manners: ['plain'] }));
    const writer = closing.use(
      await startLoggingLoad({ redisUrl: arena.redis.url, perSecond: linesPerSecond }),
    );
    const warm = Math.min(warmMs, seconds * 1_000);
    const ms = seconds * 1_000;
    // Every round finds a full ring.
    await writer.write({ ms: Math.min(2 * warmMs, ms) });
    const contestant = (name: string, round: () => Promise<Figures>): Contestant => ({ name, round });
    return [
      contestant(both, async () => {
        const written = write(writer, arena.commands, { ms: ms + warm });
        const read = await readLogs(readers, replica.pid, { warmMs: warm, ms });
        return { ...read, ...(await written) };
      }),
      contestant(idle, () => readLogs(readers, replica.pid, { warmMs: warm, ms })),
      contestant(alone, () => write(writer, arena.commands, { ms: ms + warm })),
    ];
  },
};

async function readLogs(
  readers: CallingLoad,
  pid: number,
  how: { warmMs: number; ms: number },
): Promise<Figures> {
  let server = 0;
  const called = await readers.call(how, () => {
    const before = processorSeconds(pid);
    return () => {
      server = processorSeconds(pid) - before;
    };
  });
  return {
    readsPerSecond: called.calls / called.seconds,
    ...{ p50Ms: called.p50Ms, p99Ms: called.p99Ms },
    serverPerThousand: (server / called.calls) * 1_000,
    serverCores: server / called.seconds,
    driverCores: called.cores,
  };
}

async function write(writer: LoggingLoad, redis: Redis, how: { ms: number }): Promise<Figures> {
  const before = await newestLine(redis);
  const logged = await writer.write(how);
  const added = (await newestLine(redis)) - before;
  return {
    writtenPerSecond: logged.written / logged.seconds,
    ...{ writeP50Ms: logged.p50Ms, writeP99Ms: logged.p99Ms },
    // What the replica itself has logged meanwhile only adds.
    lost: Math.max(logged.dropped, logged.sent - logged.written, logged.sent - added),
  };
}

/** The number of the ring's newest line: each has the next one. */
async function newestLine(redis: Redis): Promise<number> {
  return Number(await redis.get(createKeys('moolai').newestLog));
}
