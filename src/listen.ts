// Owns how connections come in: by default on a TCP port.
import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import type { Server as SocketServer } from 'socket.io';

/** Lets connections in; resolves to the base URL. */
export type Listen = (http: HttpServer, io: SocketServer) => Promise<string>;

/** @throws with a message for a person when the port is taken or may not be used */
export function listen({
  host,
  port,
}: {
  host: string;
  port: number;
}): (http: HttpServer) => Promise<string> {
  return async (http) => {
    http.listen(port, host);
    try {
      await once(http, 'listening');
    } catch (error) {
      const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
      if (code === 'EADDRINUSE')
        throw new Error(`Port ${port} on ${host} is already in use`, { cause: error });
      throw error;
    }
    const address = http.address();
    const bound = typeof address === 'object' && address !== null ? address.port : port;
    return `http://${host.includes(':') ? `[${host}]` : host}:${bound}`;
  };
}
