// Owns which calls over HTTP are in hand, so that a stop waits for those that are being answered and for no others.
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';

/** How long a call may still take to arrive when its server closes. */
export const callGraceMs = 1_000;

export interface Calls {
  /** Calls that have begun and are not answered to the end. */
  readonly size: number;
  /**
   * Ends every connection but those whose call has arrived whole and is being answered: one that was upgraded, one on
   * which a call has not arrived whole, be it in the midst of its headers, and one that says nothing. Nobody is told.
   */
  drop(): void;
}

/** Call before anybody else listens to the server's requests. */
export function trackCalls(http: Server): Calls {
  const inHand = new Set<IncomingMessage>();
  const connections = new Set<Socket>();
  // One for all connections: there are thousands.
  function onClose(this: Socket): void {
    connections.delete(this);
  }
  http.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.on('close', onClose);
  });
  http.on('request', (request: IncomingMessage) => {
    inHand.add(request);
    request.once('close', () => inHand.delete(request));
  });
  return {
    get size() {
      return inHand.size;
    },
    drop() {
      const answered = new Set([...inHand].flatMap(({ complete, socket }) => (complete ? [socket] : [])));
      for (const socket of connections) if (!answered.has(socket)) socket.destroy();
    },
  };
}
