// Owns Socket.IO: the server on `/ws`, and what its adapter tells the other replicas.
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import { type DefaultEventsMap, Server } from 'socket.io';
import { reasonOf } from '../availability.ts';
import { type Calls, callGraceMs } from '../calls.ts';
import type { Emit } from '../fleet/arrivals.ts';
import type { LiveConnection } from '../fleet/connections.ts';
import type { Log } from '../log.ts';
import type { Frame } from '../queue/frame.ts';
import type { RedisConnections } from '../redis/connection.ts';
import type { Keys } from '../redis/keys.ts';
import type { Owner } from '../redis/presence.ts';
import type { RateLimit } from '../redis/rate-limits.ts';
import { openAdapter } from './adapter.ts';
import { type ConversationContext, startConversation } from './conversation.ts';
import { createDoorway } from './doorway.ts';
import { inTurn } from './entrance.ts';
import { createGate } from './gate.ts';
import { createIdentification } from './identity.ts';
import { routeExactly, socketPath } from './path.ts';
import type { SocketError } from './protocol.ts';
import { spread } from './reception.ts';
import { boundReflexes } from './reflexes.ts';
import { createSendBuffers } from './send-buffer.ts';
import { createSessions } from './sessions.ts';
import { shedAnswer, shedRequest } from './shed.ts';
import { Websockets } from './websockets.ts';

/** What one replica tells all others, through the adapter. */
interface ClusterEvents {
  /** Connections of this node count now: whoever holds an older one of such an id lets it go. */
  owners(nodeId: string, connections: readonly [orchestratorId: string, epoch: number][]): void;
  /** Close a connection, of any epoch up to this one. */
  close(orchestratorId: string, epoch: number, error: SocketError): void;
  /** An independence flag has changed. */
  independence(): void;
  /** The rows of an orchestrator were changed by a registration. */
  registered(orchestratorId: string): void;
}

/** As Engine.IO tells of it. */
interface RefusedConnection {
  readonly req: IncomingMessage;
  readonly code: number;
  readonly message: string;
}

/** How often a drain asks those who are due. */
const drainTickMs = 20;

export interface Sockets {
  readonly io: Server;
  /** The socket of a frame's orchestrator, if it is connected here under the frame's epoch or a newer one. */
  socketOf(frame: Frame): Emit | undefined;
  /** Resolves when no committed handshake of this id is on its way to becoming a session. */
  settled(orchestratorId: string): Promise<void>;
  /** Closes the connection on whichever replica has it. */
  closeEverywhere(orchestratorId: string, epoch: number, error: SocketError): void;
  announceIndependence(): void;
  /** Lets the replica that has the connection bring its presence in line with the row. */
  announceRegistration(orchestratorId: string): void;
  connections(): LiveConnection[];
  has(connection: LiveConnection): boolean;
  supersede(connection: LiveConnection, owner: Owner): void;
  /**
   * Takes no new handshake, asks every orchestrator to reconnect, `perSecond` at a time, and resolves when all of them
   * have left, or were given `graceMs` for it. After `withinMs` the rest is asked at once, and it resolves.
   */
  drain(how: { perSecond: number; graceMs: number; withinMs: number }): Promise<void>;
  /** Connections whose handshake is committed. */
  readonly size: number;
  /** All connections. */
  readonly open: number;
  /** Bytes that wait to be read on all of them. */
  readonly unreadBytes: number;
  /** Closes every connection; resolves when all their ends are written. */
  close(): Promise<void>;
}

/** Gathers what is to be announced until the end of a turn of the event loop: a batch commits many handshakes at once. */
function createAnnouncement(tell: (counting: [orchestratorId: string, epoch: number][]) => void) {
  let counting: [orchestratorId: string, epoch: number][] = [];
  return (orchestratorId: string, epoch: number): void => {
    counting.push([orchestratorId, epoch]);
    if (counting.length > 1) return;
    setImmediate(() => {
      const told = counting;
      counting = [];
      tell(told);
    });
  };
}

export function openSockets(options: {
  http: HttpServer;
  calls: Calls;
  redis: RedisConnections;
  keys: Keys;
  context: Omit<
    ConversationContext,
    'sessions' | 'sendBuffers' | 'announce' | 'forward' | 'draining' | 'departing'
  >;
  pingIntervalMs: number;
  pingTimeoutMs: number;
  frameLimitBytes: number;
  sendBufferBytes: number;
  connectionsPerSecond: number;
  connectionsPerReplica: number;
  corsOrigins: readonly string[];
  handshakes: RateLimit;
  addressOf(request: IncomingMessage): string;
  /** Told of frames that waited for an orchestrator which has just connected here. */
  onFrames(frames: readonly Frame[], emit: Emit): void;
  onIndependence(): void;
  log: Log;
}): Sockets {
  const { redis, keys, log } = options;
  const sessions = createSessions();
  const departures = new Set<Promise<void>>();
  let draining = false;
  let closing = false;

  const others = options.http.listeners('request');
  const io = new Server<DefaultEventsMap, DefaultEventsMap, ClusterEvents>(options.http, {
    path: socketPath,
    addTrailingSlash: false,
    serveClient: false,
    perMessageDeflate: false,
    wsEngine: Websockets,
    maxHttpBufferSize: options.frameLimitBytes,
    pingInterval: options.pingIntervalMs,
    pingTimeout: options.pingTimeoutMs,
    connectTimeout: options.context.handshakeTimeoutMs,
    ...(options.corsOrigins.length > 0 ? { cors: { origin: [...options.corsOrigins] } } : {}),
    adapter: openAdapter(redis, keys),
  });
  routeExactly(options.http, io, others);
  const sendBuffers = createSendBuffers(io.engine, options.sendBufferBytes);
  io.engine.use(
    inTurn([
      createGate({ ...options, ...options.context, engine: io.engine }),
      createDoorway({ ...options, now: () => performance.now(), closing: () => closing }),
      sendBuffers.note,
      shedAnswer,
    ]),
  );
  boundReflexes({ ...options.context, engine: io.engine, limitBytes: options.sendBufferBytes });
  io.engine.on('connection_error', ({ req, code, message }: RefusedConnection) => {
    // It is destroyed next, with all that is held back.
    req.socket.uncork();
    log.debug({ source: 'socket' }, `A connection was refused: ${message} (${code})`);
  });

  const context: ConversationContext = {
    ...options.context,
    sessions,
    sendBuffers,
    announce: createAnnouncement((counting) => io.serverSideEmit('owners', options.context.nodeId, counting)),
    forward(frames, session) {
      if (frames.length > 0) options.onFrames(frames, session.emit);
    },
    draining: () => draining,
    departing(written) {
      departures.add(written);
      const done = () => departures.delete(written);
      written.then(done, done);
    },
  };
  io.use(createIdentification({ ...context, addressOf: options.addressOf }));
  io.on('connection', (socket) => {
    shedRequest(socket);
    startConversation(socket, context);
  });

  // Both may overtake the handshake of the very session that they mean.
  async function onOwner(orchestratorId: string, owner: Owner): Promise<void> {
    await sessions.settled(orchestratorId);
    const session = sessions.get(orchestratorId);
    if (session !== undefined && session.connection.epoch < owner.epoch) session.supersede(owner);
  }
  async function onClose(orchestratorId: string, epoch: number, error: SocketError): Promise<void> {
    await sessions.settled(orchestratorId);
    const session = sessions.get(orchestratorId);
    if (session !== undefined && session.connection.epoch <= epoch) session.end(error);
  }
  // By the epoch: a handshake again on the same socket makes another of it.
  const has = ({ orchestratorId, epoch }: LiveConnection) =>
    sessions.get(orchestratorId)?.connection.epoch === epoch;
  async function onRegistered(orchestratorId: string): Promise<void> {
    await sessions.settled(orchestratorId);
    const session = sessions.get(orchestratorId);
    if (session === undefined) return;
    let parked: readonly Frame[] = [];
    try {
      parked = await context.connections.refresh(session.connection, has);
    } catch (error) {
      log.warn(
        { source: 'socket', orchestrator_id: orchestratorId, reason: reasonOf(error) },
        `Presence of ${orchestratorId} was not brought in line with its row`,
      );
    }
    if (session.mayStay()) context.forward(parked, session);
  }
  io.on('owners', (nodeId, counting) => {
    for (const [id, epoch] of counting) void onOwner(id, { epoch, nodeId });
  });
  io.on('close', (...told) => void onClose(...told));
  io.on('independence', options.onIndependence);
  io.on('registered', (id) => void onRegistered(id));

  return {
    io,
    settled: sessions.settled,
    socketOf(frame) {
      const session = sessions.get(frame.orchestrator_id);
      return session === undefined || session.connection.epoch < frame.epoch ? undefined : session.emit;
    },
    closeEverywhere(orchestratorId, epoch, error) {
      void onClose(orchestratorId, epoch, error);
      io.serverSideEmit('close', orchestratorId, epoch, error);
    },
    announceIndependence: () => void io.serverSideEmit('independence'),
    announceRegistration(orchestratorId) {
      void onRegistered(orchestratorId);
      io.serverSideEmit('registered', orchestratorId);
    },
    connections: () => sessions.all().map((session) => session.connection),
    has,
    supersede: ({ orchestratorId }, owner) => void onOwner(orchestratorId, owner),
    async drain({ perSecond, graceMs, withinMs }) {
      draining = true;
      const all = sessions.all();
      let asked = 0;
      const startedAt = performance.now();
      // A handshake that was under way may have become a session meanwhile.
      while (sessions.size > 0 && !closing) {
        const elapsedMs = performance.now() - startedAt;
        const late = elapsedMs >= withinMs;
        const due = late ? all.length : Math.ceil(((elapsedMs + drainTickMs) / 1_000) * perSecond);
        for (const session of all.slice(asked, due)) session.sendAway(spread(), graceMs);
        asked = Math.max(asked, Math.min(due, all.length));
        if (asked === all.length) for (const session of sessions.all()) session.sendAway(0, graceMs);
        if (late) return;
        await new Promise((resolve) => setTimeout(resolve, drainTickMs));
      }
    },
    get size() {
      return sessions.size;
    },
    get open() {
      return io.engine.clientsCount;
    },
    get unreadBytes() {
      return sendBuffers.bytes;
    },
    async close() {
      draining = true;
      closing = true;
      // Calls in hand are answered; one that is sent slowly must not hold the stop, nor a peer that reads no goodbye.
      const grace = setTimeout(() => options.calls.drop(), callGraceMs);
      await io.close();
      clearTimeout(grace);
      await Promise.allSettled(departures);
    },
  };
}
