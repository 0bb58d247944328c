// Owns which calls over HTTP are in hand, so that a stop waits for those that are being answered and for no others.
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

export interface Calls {
  /** Calls that have begun and are not answered to the end. */
  readonly size: number;
  /** Ends the connections whose call has not arrived whole, and those that were upgraded: nobody is told any more. */
  drop(): void;
}

/** Call before anybody else listens to the server's requests. */
export function trackCalls(http: Server): Calls {
  const inHand = new Set<IncomingMessage>();
  const upgraded = new Set<Duplex>();
  http.on('request', (request: IncomingMessage) => {
    inHand.add(request);
    request.once('close', () => inHand.delete(request));
  });
  http.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
    upgraded.add(socket);
    socket.once('close', () => upgraded.delete(socket));
  });
  return {
    get size() {
      return inHand.size;
    },
    drop() {
      for (const request of inHand) if (!request.complete) request.destroy();
      for (const socket of upgraded) socket.destroy();
    },
  };
}
