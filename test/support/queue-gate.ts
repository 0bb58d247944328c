// Owns a gate before Redis that replicas are led through: shut, it lets pass whatever they ask, but for what takes messages
// out of their queues.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface QueueGate {
  /** The same URL, but through this gate. */
  through(url: string): string;
  /** Nothing is taken out of a queue from now on. */
  shut(): void;
  /** What waits is taken. */
  open(): void;
  close(): Promise<void>;
}

/** As the connection that takes messages calls itself (src/redis/connection.ts). */
const taking = 'moolai-controller:outbox';

export async function openQueueGate(): Promise<QueueGate> {
  const sockets = new Set<Socket>();
  /** Clients that take messages; behind a gate that is shut each waits with what it would send. */
  const takers = new Set<Socket>();
  let target: { host: string; port: number } | undefined;
  let isShut = false;

  const server = createServer((client) => {
    if (target === undefined) {
      client.destroy();
      return;
    }
    const store = connect({ ...target, noDelay: true });
    for (const [one, other] of [
      [client, store],
      [store, client],
    ] as const) {
      sockets.add(one);
      one.setNoDelay(true);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        takers.delete(one);
        other.destroy();
      });
    }
    store.pipe(client);
    client.on('data', (chunk: Buffer) => {
      if (chunk.includes(taking)) takers.add(client);
      if (isShut && takers.has(client)) {
        client.pause();
        client.unshift(chunk);
      } else store.write(chunk);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  return {
    through(url) {
      const changed = new URL(url);
      target = { host: changed.hostname, port: Number(changed.port) };
      changed.hostname = '127.0.0.1';
      changed.port = String(port);
      return changed.href;
    },
    shut() {
      isShut = true;
      // What they have asked for already would still be answered; they come again, and wait.
      for (const client of takers) client.destroy();
    },
    open() {
      isShut = false;
      for (const client of takers) client.resume();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
