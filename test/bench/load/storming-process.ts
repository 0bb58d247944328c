// The process whose connections come all at once, so many under way at a time, and leave again.
import { once } from 'node:events';
import { readOptions, serveRequests } from '../answering.ts';
import { percentileOf } from '../statistics.ts';
import { optionsSchema, requestSchema } from './storming.ts';
import { openWire, type Wire } from './wire.ts';

const { url, atOnce } = readOptions(optionsSchema);
let wires: Wire[] = [];
let lost = 0;
const countLost = () => {
  lost += 1;
};

async function come(count: number, prefix: string) {
  const latencies: number[] = [];
  const startedAtMs = performance.now();
  const before = process.cpuUsage();
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) {
        const id = `${prefix}${next}`;
        next += 1;
        const askedAtMs = performance.now();
        const wire = await openWire(url);
        await wire.call('handshake', { type: 'handshake', data: { orchestrator_id: id } });
        latencies.push(performance.now() - askedAtMs);
        wire.socket.on('close', countLost);
        wires.push(wire);
      }
    }),
  );
  const tookMs = performance.now() - startedAtMs;
  const { user, system } = process.cpuUsage(before);
  return {
    seconds: tookMs / 1_000,
    cores: (user + system) / 1_000 / tookMs,
    p50Ms: percentileOf(latencies, 0.5),
    p99Ms: percentileOf(latencies, 0.99),
  };
}

async function leave() {
  if (lost > 0) throw new Error(`${lost} connections were lost`);
  const leaving = wires;
  wires = [];
  await Promise.all(
    leaving.map(async ({ socket }) => {
      socket.off('close', countLost);
      const closed = once(socket, 'close');
      socket.terminate();
      await closed;
    }),
  );
  return 'left';
}

serveRequests('ready', requestSchema, async (request) =>
  request.do === 'come' ? come(request.count, request.prefix) : leave(),
);
