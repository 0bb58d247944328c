// The process of callers over HTTP: each has a connection of its own, and asks again as soon as it has been answered to the end.
import { setTimeout as pause } from 'node:timers/promises';
import { readOptions, serveRequests, tell } from '../answering.ts';
import { percentileOf } from '../statistics.ts';
import { type Caller, openCaller } from './caller.ts';
import { optionsSchema, requestSchema } from './calling.ts';

const { url, callers, everyMs, manners } = readOptions(optionsSchema);
const { pathname, search } = new URL(url);
type Manner = (typeof manners)[number];
const seen = new Map<Manner, { latencies: number[]; bytes: number }>();
let unchanged = 0;
let asking = false;
let measuring = false;

/** @param tag what the caller has; resolves to what it has now */
async function call(caller: Caller, manner: Manner, tag: string | undefined): Promise<string | undefined> {
  const sentAt = performance.now();
  const answer = await caller.get(pathname + search, {
    ...(manner === 'plain' ? {} : { 'Accept-Encoding': 'gzip' }),
    ...(manner === 'conditional' && tag !== undefined ? { 'If-None-Match': tag } : {}),
  });
  if (measuring) {
    const of = seen.get(manner) ?? { latencies: [], bytes: 0 };
    of.latencies.push(performance.now() - sentAt);
    of.bytes += answer.length;
    seen.set(manner, of);
    if (answer.status === 304) unchanged += 1;
  }
  return answer.tag ?? tag;
}

async function goOn(caller: Caller, first: number): Promise<void> {
  let tag: string | undefined;
  // Not all of them at the same moment.
  if (everyMs > 0) await pause((everyMs * first) / callers);
  for (let turn = first; asking; turn += 1) {
    const manner = manners[turn % manners.length];
    const calledAt = performance.now();
    if (manner !== undefined) tag = await call(caller, manner, tag);
    const leftMs = everyMs - (performance.now() - calledAt);
    if (leftMs > 0) await pause(leftMs);
  }
}

serveRequests('ready', requestSchema, async ({ warmMs, ms }) => {
  // Not kept from round to round: a server ends what has been idle for long.
  const opened = await Promise.all(Array.from({ length: callers }, () => openCaller(url)));
  asking = true;
  const all = Promise.all(opened.map(goOn));
  await Promise.race([all, pause(warmMs)]);
  seen.clear();
  unchanged = 0;
  measuring = true;
  tell('measuring');
  const before = { atMs: performance.now(), usage: process.cpuUsage() };
  await Promise.race([all, pause(ms)]);
  const took = performance.now() - before.atMs;
  const { user, system } = process.cpuUsage(before.usage);
  measuring = false;
  asking = false;
  await all;
  for (const caller of opened) caller.close();
  const latencies = [...seen.values()].flatMap((of) => of.latencies);
  return {
    calls: latencies.length,
    unchanged,
    seconds: took / 1_000,
    cores: (user + system) / 1_000 / took,
    p50Ms: percentileOf(latencies, 0.5),
    p99Ms: percentileOf(latencies, 0.99),
    byManner: Object.fromEntries(
      [...seen].map(([manner, of]) => [
        manner,
        {
          calls: of.latencies.length,
          p99Ms: percentileOf(of.latencies, 0.99),
          meanBytes: of.bytes / of.latencies.length,
        },
      ]),
    ),
  };
});
