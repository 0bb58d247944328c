// The process that calls `/send` and is the orchestrators who get the messages: it sees that none is answered before it is there.
import { setTimeout as pause } from 'node:timers/promises';
import { readOptions, serveRequests, tell } from '../answering.ts';
import { percentileOf } from '../statistics.ts';
import { type Caller, openCaller } from './caller.ts';
import { optionsSchema, requestSchema } from './sending.ts';
import { openWire } from './wire.ts';

const { callUrl, ownerUrl, orchestrators, prefix } = readOptions(optionsSchema);
/** Of each orchestrator, the last number that it got and the last that was sent to it. */
const got = new Int32Array(orchestrators);
const sent = new Int32Array(orchestrators);
const latencies: number[] = [];
let sending = false;
let measuring = false;

/** What it must acknowledge, if its sender asks for that: the number behind `42`. */
const askedFor = /^42(\d+)\[/;
const numberOf = /"number":(\d+)/;

async function connect(at: number): Promise<void> {
  const wire = await openWire(ownerUrl);
  wire.onEvent = (packet) => {
    const number = numberOf.exec(packet)?.[1];
    if (number === undefined) return;
    const before = got[at] ?? 0;
    // One may come twice, and none may be missed.
    if (Number(number) - before > 1 || Number(number) < before)
      throw new Error(`${number} came behind ${before}`);
    got[at] = Number(number);
    const asked = askedFor.exec(packet)?.[1];
    if (asked !== undefined) wire.socket.send(`43${asked}[]`);
  };
  await wire.call('handshake', {
    type: 'handshake',
    data: { orchestrator_id: `${prefix}${at}` },
  });
}
await Promise.all(Array.from(got, (_, at) => connect(at)));

/** Calls on and on, for one orchestrator after the other of those that are this caller's: every so manieth. */
async function keepSending(caller: Caller, first: number, step: number): Promise<void> {
  for (let at = first; sending; at = at + step < orchestrators ? at + step : first) {
    const number = (sent[at] ?? 0) + 1;
    sent[at] = number;
    const startedAt = performance.now();
    await caller.post(
      `/api/v1/internal/orchestrators/${prefix}${at}/send`,
      JSON.stringify({ type: 'reload_models', data: { number, models: ['small', 'large'] } }),
    );
    if ((got[at] ?? 0) < number) throw new Error(`${number} was answered and is not there`);
    if (measuring) latencies.push(performance.now() - startedAt);
  }
}

serveRequests('connected', requestSchema, async ({ warmMs, ms, inFlight }) => {
  if (inFlight > orchestrators) throw new RangeError('an orchestrator for each call that is under way');
  // Not kept from round to round: a server ends what has been idle for long.
  const callers = await Promise.all(Array.from({ length: inFlight }, () => openCaller(callUrl)));
  sending = true;
  const loops = callers.map((caller, at) => keepSending(caller, at, inFlight));
  await pause(warmMs);
  latencies.length = 0;
  measuring = true;
  tell('measuring');
  const startedAt = performance.now();
  const before = process.cpuUsage();
  await pause(ms);
  measuring = false;
  const took = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(before);
  const answered = latencies.length;
  sending = false;
  await Promise.all(loops);
  for (const caller of callers) caller.close();
  return {
    answered,
    seconds: took / 1_000,
    cores: (user + system) / 1_000 / took,
    p50Ms: percentileOf(latencies, 0.5),
    p99Ms: percentileOf(latencies, 0.99),
  };
});
