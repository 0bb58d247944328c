// What sticky's primary leaves open: bursts, replicas that only start or die, requests and frames that come too early.
import cluster, { type Worker } from 'node:cluster';
import { EventEmitter, once } from 'node:events';
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
/** A client may ask again before its replica has told of its session: so long that is waited for. */
const untoldMs = 250;

/**
 * Routes the server's connections to the cluster's workers: a session to its own, any other to the ready worker with
 * the fewest. Call before the first worker is forked.
 */
export function setupPrimary(server: Server): { closeAll(): void } {
  setupMaster(server, { loadBalancingMethod: 'least-connection' });
  // The connections that would go unanswered if a worker ended: sticky does not note for which worker it has them.
  const heldBy = new Map<number, Set<Socket>>();
  let reading: Socket | undefined;

  const sockets = new Set<Socket>();
  const sessions = createSessionList();
  const [route] = server.listeners('connection').slice(-1);
  if (route === undefined) throw new Error('sticky listens to no connection');
  // The server's own parser among them: it must not see a request, let alone end a connection that a worker has.
  server.removeAllListeners('connection');

  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    // Sticky gets the first bytes when their worker is known.
    socket.once('data', async (chunk: Buffer) => {
      socket.pause();
      socket.unshift(chunk);
      await sessions.told(sessionIn(chunk));
      if (socket.destroyed) return;
      Reflect.apply(route, server, [socket]);
      socket.prependListener('data', () => {
        // Sticky's own listener is next: it chooses the worker before anything else is read.
        reading = socket;
      });
      socket.resume();
    });
    socket.once('close', () => {
      sockets.delete(socket);
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

  return {
    closeAll() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** The session that a request names, if it names one. */
function sessionIn(head: Buffer): string | undefined {
  const [line = ''] = head.toString('latin1').split('\r\n', 1);
  return /[?&]sid=([\w-]+)/.exec(line)?.[1];
}

/** The sessions that workers have told of; sticky keeps such a list for itself. */
function createSessionList(): { told(session: string | undefined): Promise<void> } {
  const workerOf = new Map<string, number>();
  const news = new EventEmitter().setMaxListeners(0);
  cluster.on('message', (worker, message: unknown) => {
    const session = dataOf(message);
    if (session === undefined) return;
    if (typeOf(message) === 'sticky:connection') {
      workerOf.set(session, worker.id);
      news.emit(session);
    } else if (typeOf(message) === 'sticky:disconnection') workerOf.delete(session);
  });
  cluster.on('exit', (worker) => {
    for (const [session, id] of workerOf) if (id === worker.id) workerOf.delete(session);
  });
  return {
    async told(session) {
      if (session === undefined || workerOf.has(session)) return;
      // Nobody may know it at all: then the worker that gets the request says so.
      await once(news, session, { signal: AbortSignal.timeout(untoldMs) }).catch(() => undefined);
    },
  };
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

function dataOf(message: unknown): string | undefined {
  const data =
    message !== null && typeof message === 'object' && 'data' in message ? message.data : undefined;
  return typeof data === 'string' ? data : undefined;
}

function typeOf(message: unknown): unknown {
  return message !== null && typeof message === 'object' && 'type' in message ? message.type : undefined;
}
