// Owns which calls over HTTP are in hand, so that a stop waits for those that are being answered and for no others.
import type { IncomingMessage, Server } from 'node:http';

export interface Calls {
  /** Ends the connections whose call has not arrived whole. */
  dropUnread(): void;
}

/** Call before anybody else listens to the server's requests. */
export function trackCalls(http: Server): Calls {
  const inHand = new Set<IncomingMessage>();
  http.on('request', (request: IncomingMessage) => {
    inHand.add(request);
    request.once('close', () => inHand.delete(request));
  });
  return {
    dropUnread() {
      for (const request of inHand) if (!request.complete) request.destroy();
    },
  };
}
