// The process that holds a fleet of bare Socket.IO clients which beat all the time, so that a test need not.
import { setTimeout as pause } from 'node:timers/promises';
import { io, type Socket } from 'socket.io-client';
import { z } from 'zod';
import { type FleetReport, optionsSchema } from './beating-fleet.ts';

const handshakeAckSchema = z.object({ epoch: z.int() });
const beatAckSchema = z.object({ ts: z.iso.datetime() });
const errorSchema = z.object({ code: z.string(), message: z.string() });
/** Handshakes under way at once while the fleet assembles. */
const atOnce = 100;

const { urls, count, prefix, organizations, everyMs } = optionsSchema.parse(
  JSON.parse(process.argv[2] ?? ''),
);
const fleet = Array.from({ length: count }, (_, at) => createMember(at));
const totals = { lost: 0, sent: 0, acknowledged: 0 };
const errors: Record<string, number> = {};
const messages = new Set<string>();

interface Member {
  id: string;
  organizationId: string;
  url: string;
  socket: Socket | undefined;
  epoch: number;
  acknowledgedMs: number;
  /** When each that waits was sent, oldest first. */
  waiting: Set<{ sentAt: number }>;
}

function createMember(at: number): Member {
  const url = urls[at % urls.length] ?? '';
  return {
    id: `${prefix}${at}`,
    organizationId: `tenant-${(at >> 1) % organizations}`,
    url,
    socket: undefined,
    epoch: 0,
    acknowledgedMs: 0,
    waiting: new Set(),
  };
}

async function connect(member: Member): Promise<void> {
  const socket = io(member.url, {
    path: '/ws',
    transports: ['websocket'],
    reconnection: false,
    forceNew: true,
  });
  member.socket = socket;
  socket.on('disconnect', () => {
    totals.lost += 1;
  });
  socket.on('error', (told: unknown) => {
    const { code, message } = errorSchema.parse(told);
    errors[code] = (errors[code] ?? 0) + 1;
    messages.add(message);
  });
  // Whatever is sent is acknowledged with its type.
  socket.onAny((event: string, ...args: unknown[]) => {
    const acknowledge = args.at(-1);
    if (typeof acknowledge === 'function') acknowledge(event);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  const data = { orchestrator_id: member.id, organization_id: member.organizationId };
  const ack: unknown = await socket.timeout(60_000).emitWithAck('handshake', { type: 'handshake', data });
  member.epoch = handshakeAckSchema.parse(ack).epoch;
}

function beat(member: Member): void {
  const { id, socket, waiting } = member;
  if (socket === undefined || !socket.connected) return;
  const sent = { sentAt: performance.now() };
  waiting.add(sent);
  totals.sent += 1;
  socket.emit('i_am_alive', { type: 'i_am_alive', orchestrator_id: id }, (ack: unknown) => {
    waiting.delete(sent);
    totals.acknowledged += 1;
    member.acknowledgedMs = Math.max(member.acknowledgedMs, Date.parse(beatAckSchema.parse(ack).ts));
  });
}

function report(): FleetReport {
  let oldest = performance.now();
  for (const { waiting } of fleet)
    for (const { sentAt } of waiting.values().take(1)) oldest = Math.min(oldest, sentAt);
  return {
    ...totals,
    connected: fleet.filter((member) => member.socket?.connected).length,
    oldestWaitingMs: performance.now() - oldest,
    errors,
    messages: [...messages],
    orchestrators: fleet.map((member) => [member.id, member.epoch, member.acknowledgedMs]),
  };
}

process.on('disconnect', () => process.exit(0));
process.on('message', () => process.send?.(report()));

for (let from = 0; from < fleet.length; from += atOnce)
  await Promise.all(fleet.slice(from, from + atOnce).map(connect));
// Spread over the interval, as a fleet is that connected over time.
for (const [at, member] of fleet.entries()) void beatOn(member, (at / fleet.length) * everyMs);
process.send?.('connected');

async function beatOn(member: Member, afterMs: number): Promise<void> {
  await pause(afterMs);
  beat(member);
  setInterval(() => beat(member), everyMs);
}
