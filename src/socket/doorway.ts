// Owns the pace at which new connections are let in, so that a fleet that comes back at once does not hold the event loop.
import type { IncomingMessage } from 'node:http';
import type { Step } from './entrance.ts';
import { isOfConnection } from './path.ts';

const tickMs = 20;
/** So much of a second's connections may come at once. */
const burst = 0.1;

/**
 * Lets in so many a second; the others wait, in order, as sockets that nothing is done for yet.
 * @param options.now milliseconds on a clock that nobody sets
 */
export function createDoorway(options: {
  connectionsPerSecond: number;
  now(): number;
  /** Whether nobody is let in any more: who waits is hung up on. */
  closing(): boolean;
}): Step {
  const { connectionsPerSecond, now } = options;
  const most = Math.max(1, connectionsPerSecond * burst);
  const queue: { request: IncomingMessage; next: () => void }[] = [];
  let places = most;
  let countedAtMs = now();

  function count(): void {
    places = Math.min(most, places + ((now() - countedAtMs) / 1_000) * connectionsPerSecond);
    countedAtMs = now();
  }

  function letIn(): void {
    if (options.closing()) {
      for (const { request } of queue.splice(0)) request.socket.destroy();
      return;
    }
    count();
    while (places >= 1 && queue.length > 0) {
      const { request, next } = queue.shift() ?? {};
      // Who has given up meanwhile takes no place.
      if (request?.socket.destroyed !== false) continue;
      request.socket.off('error', ignore);
      places -= 1;
      next?.();
    }
    if (queue.length > 0) setTimeout(letIn, tickMs);
  }

  return (request, _response, next) => {
    if (isOfConnection(request)) return next();
    if (queue.length === 0 && !options.closing() && !request.socket.destroyed) {
      count();
      if (places >= 1) {
        places -= 1;
        return next();
      }
    }
    // Between HTTP's listeners and the websocket's a lost connection would be an error that nobody handles.
    request.socket.on('error', ignore);
    queue.push({ request, next });
    if (queue.length === 1) letIn();
  };
}

function ignore(): void {
  // Its socket is destroyed, which is looked at before it is let in.
}
