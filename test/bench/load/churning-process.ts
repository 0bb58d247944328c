// The process that holds a fleet which beats, reconnects and is sent messages, each at its pace, and times what it is told.
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { readOptions, serveRequests } from '../answering.ts';
import { percentileOf } from '../statistics.ts';
import { type ChurnReport, optionsSchema } from './churning.ts';
import { encodeCall, openWire, type Wire } from './wire.ts';

const options = readOptions(optionsSchema);
const { urls, count, prefix, organizations, everyMs } = options;
const tickMs = 20;
const connectingAtOnce = 50;
const retryMs = 1_000;
/** What nobody answers for so long is as good as lost. */
const callWithinMs = 30_000;

interface Member {
  readonly id: string;
  readonly hello: object;
  /** Connections it has had, which says to which replica the next one goes. */
  connections: number;
  wire: Wire | undefined;
  connecting: boolean;
  /** When the heartbeat was sent that waits for its acknowledgement. */
  beatAt: number | undefined;
}

const members = Array.from({ length: count }, (_, at): Member => {
  const id = `${prefix}${at}`;
  const organization = `${prefix}tenant-${at % organizations}`;
  const metadata = { name: `Orchestrator ${at}`, location: 'Oslo', version: '1.0.0' };
  return {
    id,
    hello: { type: 'handshake', data: { orchestrator_id: id, organization_id: organization, metadata } },
    connections: at,
    wire: undefined,
    connecting: false,
    beatAt: undefined,
  };
});
const beatPacket = encodeCall('i_am_alive', { type: 'i_am_alive' });
const beatMs: number[] = [];
const sendMs: number[] = [];
let reconnects = 0;
const faults: Record<string, number> = {};
const fault = (what: string) => {
  faults[what] = (faults[what] ?? 0) + 1;
};

/** The next connection, through the next replica; the one before closes first, or is superseded. */
async function connect(member: Member, closeFirst: boolean): Promise<void> {
  member.connecting = true;
  const url = urls[member.connections++ % urls.length] ?? '';
  if (closeFirst) end(member);
  try {
    const wire = await openWire(url);
    await wire.call('handshake', member.hello);
    end(member);
    member.wire = wire;
    wire.onAcknowledged = () => {
      if (member.beatAt !== undefined) beatMs.push(performance.now() - member.beatAt);
      member.beatAt = undefined;
    };
    wire.socket.on('close', () => {
      // While the next one is opened this one may be superseded.
      if (member.wire !== wire || member.connecting) return;
      fault('connection lost');
      member.wire = undefined;
      retry(member);
    });
  } catch {
    fault('connection refused');
    retry(member);
  } finally {
    member.connecting = false;
  }
}

function end(member: Member): void {
  const { wire } = member;
  member.wire = undefined;
  member.beatAt = undefined;
  wire?.socket.close();
}

function retry(member: Member): void {
  setTimeout(() => void connect(member, true), retryMs);
}

const agents = urls.map(() => new Agent({ keepAlive: true }));

async function send(member: Member, nth: number): Promise<void> {
  const { id, connections } = member;
  const at = nth % urls.length;
  const startedAt = performance.now();
  try {
    const body = JSON.stringify({ type: 'reload_models', data: { models: ['small'] } });
    const { status, json } = await post(
      `${urls[at]}/api/v1/internal/orchestrators/${id}/send`,
      agents[at],
      body,
    );
    if (status === 200) sendMs.push(performance.now() - startedAt);
    // While it is on its way its orchestrator may leave, to come back by another connection: then it is told the truth.
    else if (status !== 409 || member.connections === connections)
      fault(`send: ${z.object({ code: z.string() }).parse(JSON.parse(json)).code}`);
  } catch {
    fault('send: no answer');
  }
}

function post(
  url: string,
  agent: Agent | undefined,
  body: string,
): Promise<{ status: number; json: string }> {
  return new Promise((resolve, reject) => {
    const call = request(url, {
      method: 'POST',
      ...(agent === undefined ? {} : { agent }),
      timeout: callWithinMs,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    });
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.on('response', async (response) => {
      resolve({ status: response.statusCode ?? 0, json: await text(response).catch(() => '{}') });
    });
    call.end(body);
  });
}

/** Does something so many times a second, with its number, however late the timer is. */
function pace(perSecond: number, piece: (nth: number) => void): void {
  const startedAt = performance.now();
  let done = 0;
  setInterval(() => {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond);
    while (done < due) piece(done++);
  }, tickMs);
}

/** Far apart one from the next, and every one in its turn: a step that shares no factor with the count. */
function memberFor(nth: number, step: number): Member | undefined {
  return members[(nth * step) % count];
}

let next = 0;
await Promise.all(
  Array.from({ length: connectingAtOnce }, async () => {
    for (let member = members[next++]; member !== undefined; member = members[next++])
      await connect(member, false);
  }),
);

pace((count / everyMs) * 1_000, (nth) => {
  const member = memberFor(nth, 1);
  if (member?.wire === undefined) return;
  if (member.beatAt !== undefined) fault('heartbeat unanswered when the next was due');
  member.beatAt = performance.now();
  member.wire.socket.send(beatPacket);
});
pace(options.reconnectsPerSecond, (nth) => {
  const member = memberFor(nth, 7_919);
  if (member?.wire === undefined || member.connecting) return;
  reconnects += 1;
  void connect(member, nth % 2 === 0);
});
pace(options.sendsPerSecond, (nth) => {
  const member = memberFor(nth, 6_101);
  if (member?.wire !== undefined && !member.connecting) void send(member, nth);
});

// A terminal's Ctrl-C reaches this process too: it goes when whoever asks does.
process.on('SIGINT', () => undefined);
serveRequests('connected', z.literal('report'), async (): Promise<ChurnReport> => {
  const report = {
    connected: members.filter(({ wire }) => wire !== undefined).length,
    beats: latencyOf(beatMs),
    sends: latencyOf(sendMs),
    reconnects,
    faults,
  };
  reconnects = 0;
  return report;
});

function latencyOf(values: number[]) {
  const taken = values.splice(0);
  return { count: taken.length, p50Ms: percentileOf(taken, 0.5), p99Ms: percentileOf(taken, 0.99) };
}
