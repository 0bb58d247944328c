// The process of callers over HTTP: written by hand on sockets, so that it costs less than whom it calls.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { readOptions, serveRequests, tell } from '../answering.ts';
import { percentileOf } from '../statistics.ts';
import { optionsSchema, requestSchema } from './listing.ts';

const { callers } = readOptions(optionsSchema);
const headEnd = '\r\n\r\n';

/** One after the other on one connection. @param onAnswer told of each answer that is whole; what it returns goes out next */
function converse(socket: Socket, onAnswer: () => Buffer | undefined): void {
  let head: Buffer = Buffer.alloc(0);
  let awaited = 0;
  socket.on('data', (chunk: Buffer) => {
    if (awaited > 0) awaited -= chunk.length;
    else {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      const end = head.indexOf(headEnd);
      if (end === -1) return;
      const text = head.toString('latin1', 0, end);
      const [, length] = /\r\ncontent-length: (\d+)/i.exec(text) ?? [];
      if (!text.startsWith('HTTP/1.1 200 ') || length === undefined)
        throw new Error(`answered ${text.split('\r\n', 1)}: ${head.toString('utf8', end, end + 300)}`);
      awaited = end + headEnd.length + Number(length) - head.length;
      head = Buffer.alloc(0);
    }
    if (awaited > 0) return;
    const next = onAnswer();
    if (next === undefined) socket.end();
    else socket.write(next);
  });
}

serveRequests('ready', requestSchema, async ({ url, paths, token, warmMs, ms }) => {
  const { hostname, port, host } = new URL(url);
  const headers = [`Host: ${host}`, ...(token === undefined ? [] : [`Authorization: Bearer ${token}`])];
  const requests = paths.map((path) =>
    Buffer.from([`GET ${path} HTTP/1.1`, ...headers, '', ''].join('\r\n')),
  );
  const latencies: number[] = [];
  let calling = true;
  let measuring = false;
  let next = 0;
  const take = () => requests[next++ % requests.length] ?? Buffer.alloc(0);
  const closed = Array.from({ length: callers }, async () => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    let sentAtMs = performance.now();
    converse(socket, () => {
      const nowMs = performance.now();
      if (measuring) latencies.push(nowMs - sentAtMs);
      sentAtMs = nowMs;
      return calling ? take() : undefined;
    });
    socket.write(take());
    await once(socket, 'close');
    if (calling) throw new Error('a connection was closed');
  });
  const ended = Promise.all(closed);
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
