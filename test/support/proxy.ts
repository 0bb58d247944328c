// Owns a proxy before a store, or a replica: it counts what passes, and it can be cut as if they were away.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from './join.ts';

export interface StoreProxy {
  /** The same URL, but through this proxy; connections from now on go there. */
  through(url: string): string;
  /** Bytes that clients have sent to the store so far, but for the goodbyes of idle connections to Postgres. */
  readonly sentBytes: number;
  /** Bytes that the store has sent to clients so far. */
  readonly receivedBytes: number;
  /** Closes every connection and refuses new ones. */
  cut(): void;
  /** Forwards nothing more on the connections there are, as if the network had lost them; new ones work. */
  stall(): void;
  /** Takes connections again. */
  mend(): void;
  close(): Promise<void>;
}

/** Postgres's Terminate. Source: https://www.postgresql.org/docs/18/protocol-message-formats.html */
const goodbye = Buffer.from([0x58, 0, 0, 0, 4]);

export async function openProxy(): Promise<StoreProxy> {
  const sockets = new Set<Socket>();
  let target: { host: string; port: number } | undefined;
  let isCut = false;
  let sentBytes = 0;
  let receivedBytes = 0;

  const server = createServer((client) => {
    if (isCut || target === undefined) {
      client.destroy();
      return;
    }
    const store = connect(target);
    join(client, store, sockets);
    client.on('data', (chunk: Buffer) => {
      if (!chunk.equals(goodbye)) sentBytes += chunk.length;
    });
    store.on('data', (chunk: Buffer) => {
      receivedBytes += chunk.length;
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    through(url) {
      const changed = new URL(url);
      target = { host: changed.hostname, port: Number(changed.port) };
      changed.hostname = '127.0.0.1';
      changed.port = String(port);
      return changed.href;
    },
    get sentBytes() {
      return sentBytes;
    },
    get receivedBytes() {
      return receivedBytes;
    },
    cut,
    stall() {
      for (const socket of sockets) socket.unpipe();
    },
    mend() {
      isCut = false;
    },
    async close() {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
