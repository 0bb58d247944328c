// The process of a peer that sends from any replica to a socket behind another, bare: through Socket.IO's adapter and with
// its reply, or through a BullMQ queue a replica, whose jobs are waited for.
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import { Queue, QueueEvents, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { z } from 'zod';
import { readOptions, serveRequests } from '../answering.ts';

const { redisUrl, way, node, owner } = readOptions(
  z.object({
    redisUrl: z.url(),
    way: z.enum(['adapter', 'bullmq']),
    node: z.string(),
    /** The replica that has all sockets: nobody looks that up. */
    owner: z.string(),
  }),
);

const http = createServer();
const io = new Server(http, { path: '/ws', addTrailingSlash: false, serveClient: false });
const timeoutMs = 10_000;
const open = () => new Redis(redisUrl, { maxRetriesPerRequest: null });
/** As many as the callers have under way at once, and more. */
const concurrency = 100;
/** Those that are gone at once can no longer be waited for. */
const kept = { age: 60, count: 1_000 };

interface Message {
  id: string;
  type: string;
  data: unknown;
}

/** Resolves when the orchestrator has acknowledged. */
type Send = (message: Message) => Promise<unknown>;

function throughAdapter(): Send {
  io.adapter(createAdapter(open(), open()));
  return async ({ id, ...message }) => {
    const answers: unknown[] = await io.to(id).timeout(timeoutMs).emitWithAck(message.type, message);
    if (answers.length !== 1) throw new Error(`${answers.length} orchestrators answered`);
  };
}

async function throughBullmq(): Promise<Send> {
  const worker = new Worker<Message>(
    `outbound.${node}`,
    async ({ data: { id, ...message } }) => {
      await io.to(id).timeout(timeoutMs).emitWithAck(message.type, message);
    },
    { connection: open(), concurrency },
  );
  const queue = new Queue<Message>(`outbound.${owner}`, { connection: open() });
  const events = new QueueEvents(`outbound.${owner}`, { connection: open() });
  for (const each of [queue, events]) each.setMaxListeners(0);
  await Promise.all([worker.waitUntilReady(), queue.waitUntilReady(), events.waitUntilReady()]);
  return async (message) => {
    const job = await queue.add('frame', message, { removeOnComplete: kept, removeOnFail: kept });
    await job.waitUntilFinished(events, timeoutMs);
  };
}

const send = way === 'adapter' ? throughAdapter() : await throughBullmq();
io.on('connection', (socket) => {
  socket.on('handshake', (hello: { data: { orchestrator_id: string } }, acknowledge) => {
    socket.join(hello.data.orchestrator_id);
    acknowledge({ type: 'handshake_ack', orchestrator_id: hello.data.orchestrator_id });
  });
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  request.setEncoding('utf8');
  for await (const chunk of request) text += chunk;
  return text;
}

const bodySchema = z.object({ type: z.string(), data: z.unknown() });

http.on('request', async (request, response) => {
  if (request.method !== 'POST') return;
  const id = request.url?.split('/')[5] ?? '';
  let status = 200;
  try {
    await send({ id, ...bodySchema.parse(JSON.parse(await textOf(request))) });
  } catch {
    status = 500;
  }
  const body = JSON.stringify({ success: status === 200, orchestrator_id: id });
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
});
http.listen(0, '127.0.0.1');
await once(http, 'listening');
const address = http.address();
const port = typeof address === 'object' ? address?.port : undefined;
serveRequests({ url: `http://127.0.0.1:${port}` }, z.never(), async () => undefined);
