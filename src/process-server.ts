// Owns the port of their own that health and metrics may have, away from whoever reaches the API.
import { createServer, type RequestListener, type ServerOptions } from 'node:http';
import { callGraceMs, trackCalls } from './calls.ts';
import type { Clock } from './clock.ts';
import { answerClientErrors } from './http/client-errors.ts';
import { listen } from './listen.ts';

export interface ProcessServer {
  readonly url: string;
  close(): Promise<void>;
}

/** @throws with a message for a person when the port is taken or may not be used */
export async function openProcessServer(options: {
  handle: RequestListener;
  host: string;
  port: number;
  timeouts: ServerOptions;
  idleTimeoutMs: number;
  clock: Clock;
}): Promise<ProcessServer> {
  const server = createServer({ requireHostHeader: false, ...options.timeouts }, options.handle);
  server.setTimeout(options.idleTimeoutMs);
  const calls = trackCalls(server);
  answerClientErrors(server, options.clock);
  const url = await listen(options)(server);
  return {
    url,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      const grace = setTimeout(() => calls.drop(), callGraceMs);
      await closed;
      clearTimeout(grace);
    },
  };
}
