// Owns who is turned away before a connection is made: pages of others, those who come too often, and whom there is no room for.
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'socket.io';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { createPacedWarning } from '../paced-warning.ts';
import { answerPlainly, type PlainAnswer, plainHeaders, writePlainly } from '../plain-answer.ts';
import type { RateLimit } from '../redis/rate-limits.ts';
import type { Step } from './entrance.ts';
import { isOfConnection } from './path.ts';

type Reason = 'origin' | 'rate' | 'full';

/** How long one that found no room waits before it asks again; another replica may have some. */
const fullRetrySeconds = 5;

/** Comes before any other step: it may answer in their place. */
export function createGate(options: {
  engine: Server['engine'];
  corsOrigins: readonly string[];
  handshakes: RateLimit;
  addressOf(request: IncomingMessage): string;
  connectionsPerReplica: number;
  clock: Clock;
  metrics: Metrics;
  log: Log;
}): Step {
  const { engine, corsOrigins, connectionsPerReplica, log } = options;
  /** Let pass, but not connected yet: they wait at the door, or are on their way. */
  const entering = new Map<IncomingMessage, () => void>();
  const warnOfCrowd = createPacedWarning({ log, event: 'full' });

  engine.on('connection', ({ request }: { request: IncomingMessage }) => entering.get(request)?.());

  function refuse(request: IncomingMessage, response: unknown, reason: Reason, answer: PlainAnswer): void {
    options.metrics.refusedConnections.inc({ reason });
    log.debug({ source: 'socket' }, `A connection was refused: ${answer.message}`);
    if (response instanceof ServerResponse) {
      answerPlainly(response, answer, options.clock);
      return;
    }
    const { socket } = request;
    socket.on('error', ignore);
    writePlainly(socket, answer, options.clock);
    // HTTP's time-outs look after it no more.
    socket.once('finish', () => socket.destroy());
  }

  return (request, response: unknown, next) => {
    if (response instanceof ServerResponse)
      for (const [name, value] of Object.entries(plainHeaders)) response.setHeader(name, value);
    if (isForeign(request, corsOrigins))
      return refuse(request, response, 'origin', {
        status: 403,
        code: 'forbidden',
        message: 'Pages of this origin may not connect',
      });
    if (isOfConnection(request)) return next();
    // Between HTTP's listeners and the websocket's a lost connection would be an error that nobody handles.
    request.socket.on('error', ignore);
    void options.handshakes.take(options.addressOf(request)).then((retryAfterSeconds) => {
      // Who has given up meanwhile takes no place.
      if (request.socket.destroyed) return;
      if (retryAfterSeconds !== undefined)
        return refuse(request, response, 'rate', {
          status: 429,
          code: 'rate_limited',
          message: 'Too many new connections from this address',
          retryAfterSeconds,
        });
      const held = engine.clientsCount + entering.size;
      if (held >= connectionsPerReplica) {
        warnOfCrowd({}, `${held} connections are open on this replica; new ones are refused`);
        return refuse(request, response, 'full', {
          status: 503,
          code: 'unavailable',
          message: 'This replica holds as many connections as it may',
          retryAfterSeconds: fullRetrySeconds,
        });
      }
      // Behind a failure nobody connects; an upgrade has no response but its connection.
      const ends = response instanceof ServerResponse ? response : request.socket;
      const entered = () => {
        entering.delete(request);
        ends.off('close', entered);
      };
      entering.set(request, entered);
      ends.on('close', entered);
      request.socket.off('error', ignore);
      next();
    });
  };
}

/**
 * Whether a page of somebody else's asks. A websocket knows no CORS: without this, any page in a browser could talk to
 * a controller that only that browser reaches. What is no browser sends no origin.
 */
function isForeign({ headers }: IncomingMessage, allowed: readonly string[]): boolean {
  const { origin, host } = headers;
  if (origin === undefined || allowed.includes(origin)) return false;
  if (host === undefined || !URL.canParse(origin)) return true;
  const page = new URL(origin);
  const called = `${page.protocol}//${host}`;
  return !URL.canParse(called) || new URL(called).host !== page.host || page.host === '';
}

function ignore(): void {
  // Its socket is destroyed, which is looked at before it is let in.
}
