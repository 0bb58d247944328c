// What sticky's primary leaves open: bursts, replicas that only start, replicas that die, frames read too early.
import cluster, { type Worker } from 'node:cluster';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { setupMaster } from '@socket.io/sticky';
import { isReadyMessage } from './replica-message.ts';

/** Above every real count, yet still a number to count from. */
const notReadyCount = 1e9;
/** A request with a body stays with the primary, which forwards it piece by piece. */
const startWithBody = 'sticky:http-chunk-start';
/** For so long a connection counts although its replica has not told of a session on it. */
const recentMs = 1_000;

/**
 * Routes the server's connections to the cluster's workers: a session to its own, any other to the ready worker with
 * the fewest. Call before the first worker is forked.
 */
export function setupPrimary(server: Server): void {
  setupMaster(server, { loadBalancingMethod: 'least-connection' });
  // The connections that would go unanswered if a worker ended: sticky does not note for which worker it has them.
  const heldBy = new Map<number, Set<Socket>>();
  let reading: Socket | undefined;

  server.on('connection', (socket: Socket) => {
    socket.prependListener('data', () => {
      // Sticky's own listener is next: it chooses the worker before anything else is read.
      reading = socket;
    });
    socket.once('close', () => {
      for (const held of heldBy.values()) held.delete(socket);
    });
  });

  cluster.on('fork', (worker) => {
    const held = new Set<Socket>();
    heldBy.set(worker.id, held);
    const count = countConnections(worker);
    // Sticky sends to a worker that may have just ended; what cannot be sent must not end the primary.
    worker.on('error', () => undefined);
    worker.send = new Proxy(worker.send, {
      apply(send, self, args) {
        const type = typeOf(args[0]);
        const socket = reading;
        if (socket === undefined || (type !== startWithBody && type !== 'sticky:connection')) {
          return Reflect.apply(send, self, args);
        }
        count.add();
        held.add(socket);
        if (type === startWithBody) return Reflect.apply(send, self, args);
        // Handed over whole, once the worker's channel has taken it.
        stopReading(socket);
        const given: unknown = args.at(-1);
        const done = (error: Error | null) => {
          held.delete(socket);
          if (typeof given === 'function') given(error);
        };
        return Reflect.apply(send, self, [...args.slice(0, -1), done]);
      },
    });
  });

  cluster.on('exit', (worker) => {
    for (const socket of heldBy.get(worker.id) ?? []) socket.destroy();
    heldBy.delete(worker.id);
  });
}

/**
 * Takes the place of sticky's `clientsCount` on a worker. Sticky counts a session once the worker has told of it, and
 * would send a whole burst to one worker; here each connection counts from when it is handed over.
 */
function countConnections(worker: Worker): { add(): void } {
  let sessions = 0;
  let recent = 0;
  let isReady = false;
  const total = () => sessions + recent + (isReady ? 0 : notReadyCount);
  Object.defineProperty(worker, 'clientsCount', {
    get: total,
    set: (value: number) => {
      sessions += value - total();
    },
  });
  worker.on('message', (message: unknown) => {
    isReady ||= isReadyMessage(message);
  });
  return {
    add() {
      recent += 1;
      setTimeout(() => {
        recent -= 1;
      }, recentMs).unref();
    },
  };
}

/**
 * Keeps the primary from reading what is the worker's. Node leaves its copy of the handle reading until the worker
 * has confirmed its own, and drops what comes: now and then the first frame of a new websocket.
 */
function stopReading(socket: Socket): void {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (handle === null || typeof handle !== 'object' || !('readStop' in handle)) return;
  if (typeof handle.readStop === 'function') handle.readStop();
}

function typeOf(message: unknown): unknown {
  return message !== null && typeof message === 'object' && 'type' in message ? message.type : undefined;
}
