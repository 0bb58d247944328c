// The process that holds connections and beats on them as fast as it is acknowledged: one heartbeat under way on each.
import { setTimeout as pause } from 'node:timers/promises';
import { readOptions, serveRequests, tell } from '../answering.ts';
import { percentileOf } from '../statistics.ts';
import { optionsSchema, requestSchema } from './beating.ts';
import { encodeCall, openWire, type Wire } from './wire.ts';

const { urls, count, prefix, atOnce } = readOptions(optionsSchema);
const packets: string[] = [];
const wires: Wire[] = [];
let acknowledged = 0;
let beating = false;
let lost = 0;
let underWay = 0;
let settled: (() => void) | undefined;
const sentAt = new Float64Array(count);
const latencies: number[] = [];
let measuring = false;

function beat(at: number): void {
  sentAt[at] = performance.now();
  underWay += 1;
  wires[at]?.socket.send(packets[at] ?? '');
}

async function connect(at: number): Promise<void> {
  const id = `${prefix}${at}`;
  const wire = await openWire(urls[at % urls.length] ?? '');
  await wire.call('handshake', { type: 'handshake', data: { orchestrator_id: id } });
  wires[at] = wire;
  packets[at] = encodeCall('i_am_alive', { type: 'i_am_alive', orchestrator_id: id });
  wire.socket.on('close', () => {
    lost += 1;
  });
  wire.onAcknowledged = () => {
    acknowledged += 1;
    underWay -= 1;
    if (measuring) latencies.push(performance.now() - (sentAt[at] ?? 0));
    if (beating) beat(at);
    else if (underWay === 0) settled?.();
  };
}

let next = 0;
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    while (next < count) {
      next += 1;
      await connect(next - 1);
    }
  }),
);

serveRequests('connected', requestSchema, async ({ warmMs, ms, connections }) => {
  beating = true;
  for (let at = 0; at < Math.min(count, connections); at += 1) beat(at);
  await pause(warmMs);
  latencies.length = 0;
  measuring = true;
  tell('measuring');
  const before = { acknowledged, atMs: performance.now(), usage: process.cpuUsage() };
  await pause(ms);
  const took = performance.now() - before.atMs;
  const { user, system } = process.cpuUsage(before.usage);
  measuring = false;
  beating = false;
  // Or the next round would begin with two on one connection, which are written as one.
  if (underWay > 0)
    await new Promise<void>((resolve) => {
      settled = resolve;
    });
  if (lost > 0) throw new Error(`${lost} connections were lost`);
  return {
    acknowledged: acknowledged - before.acknowledged,
    seconds: took / 1_000,
    cores: (user + system) / 1_000 / took,
    p50Ms: percentileOf(latencies, 0.5),
    p99Ms: percentileOf(latencies, 0.99),
  };
});
