// Owns the way in: each connection goes to a replica drawn from those that take any, as behind a load balancer.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from '../support/join.ts';

export interface Balancer {
  readonly url: string;
  close(): Promise<void>;
}

/** @param port draws the port of a replica, or nothing while there is none */
export async function openBalancer(port: () => number | undefined): Promise<Balancer> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const chosen = port();
    if (chosen === undefined) {
      client.destroy();
      return;
    }
    const replica = connect(chosen, '127.0.0.1');
    join(client, replica, sockets);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const own = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${own}`,
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
