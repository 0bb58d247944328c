// The process of callers over HTTP: written by hand on sockets, so that it costs less than whom it calls.
import { setTimeout as pause } from 'node:timers/promises';
import { readOptions, serveRequests, tell } from '../answering.ts';
import { percentileOf } from '../statistics.ts';
import { type Caller, openCaller } from './caller.ts';
import { optionsSchema, requestSchema } from './listing.ts';

const { callers } = readOptions(optionsSchema);

serveRequests('ready', requestSchema, async ({ url, paths, token, warmMs, ms }) => {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const latencies: number[] = [];
  let calling = true;
  let measuring = false;
  let next = 0;
  async function keepCalling(caller: Caller): Promise<void> {
    while (calling) {
      const path = paths[next++ % paths.length] ?? '';
      const sentAtMs = performance.now();
      await caller.get(path, headers);
      if (measuring) latencies.push(performance.now() - sentAtMs);
    }
    caller.close();
  }
  const opened = await Promise.all(Array.from({ length: callers }, () => openCaller(url)));
  const ended = Promise.all(opened.map(keepCalling));
  await Promise.race([pause(warmMs), ended]);
  measuring = true;
  tell('measuring');
  const before = { atMs: performance.now(), usage: process.cpuUsage() };
  await Promise.race([pause(ms), ended]);
  // Of whom nobody is answered in that time nothing could be said.
  while (latencies.length < callers) await Promise.race([pause(10), ended]);
  const took = performance.now() - before.atMs;
  const { user, system } = process.cpuUsage(before.usage);
  measuring = false;
  calling = false;
  await ended;
  return {
    calls: latencies.length,
    seconds: took / 1_000,
    cores: (user + system) / 1_000 / took,
    p50Ms: percentileOf(latencies, 0.5),
    p99Ms: percentileOf(latencies, 0.99),
  };
});
