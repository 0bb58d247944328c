// Owns Socket.IO: the server on `/ws`, and what its adapter tells the other replicas.
import type { Server as HttpServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import { type DefaultEventsMap, Server } from 'socket.io';
import { reasonOf } from '../availability.ts';
import type { Calls } from '../calls.ts';
import type { Emit } from '../fleet/arrivals.ts';
import type { LiveConnection } from '../fleet/connections.ts';
import type { Log } from '../log.ts';
import type { Frame } from '../queue/frame.ts';
import type { RedisConnections } from '../redis/connection.ts';
import type { Keys } from '../redis/keys.ts';
import type { Owner } from '../redis/presence.ts';
import { type ConversationContext, startConversation } from './conversation.ts';
import { createDoorway } from './doorway.ts';
import { routeExactly, socketPath } from './path.ts';
import type { SocketError } from './protocol.ts';
import { createSendBuffers } from './send-buffer.ts';
import { createSessions } from './sessions.ts';

/** What one replica tells all others, through the adapter. */
interface ClusterEvents {
  /** A connection counts now: whoever holds an older one of this id lets it go. */
  owner(orchestratorId: string, owner: Owner): void;
  /** Close a connection, of any epoch up to this one. */
  close(orchestratorId: string, epoch: number, error: SocketError): void;
  /** An independence flag has changed. */
  independence(): void;
  /** The rows of an orchestrator were changed by a registration. */
  registered(orchestratorId: string): void;
}

/** How long a call may still take to arrive when the replica closes. */
const callGraceMs = 1_000;

export interface Sockets {
  readonly io: Server;
  /** Emits a frame if its orchestrator is connected here under its epoch or a newer one. */
  emit(frame: Frame, onAck: (value: unknown) => void): boolean;
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
  /** Sends every orchestrator away, `perSecond` at a time, and takes no new handshake. */
  drain(perSecond: number): Promise<void>;
  /** Connections whose handshake is committed. */
  readonly size: number;
  /** All connections. */
  readonly open: number;
  /** Bytes that wait to be read on all of them. */
  readonly unreadBytes: number;
  /** Closes every connection; resolves when all their ends are written. */
  close(): Promise<void>;
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
  /** Told of frames that waited for an orchestrator which has just connected here. */
  onFrame(frame: Frame, emit?: Emit): void;
  onIndependence(): void;
  log: Log;
}): Sockets {
  const { redis, keys, log } = options;
  const sessions = createSessions();
  const departures = new Set<Promise<void>>();
  let draining = false;

  const others = options.http.listeners('request');
  const io = new Server<DefaultEventsMap, DefaultEventsMap, ClusterEvents>(options.http, {
    path: socketPath,
    addTrailingSlash: false,
    serveClient: false,
    perMessageDeflate: false,
    maxHttpBufferSize: options.frameLimitBytes,
    pingInterval: options.pingIntervalMs,
    pingTimeout: options.pingTimeoutMs,
    adapter: createAdapter(redis.unattended('adapter-publish'), redis.unattended('adapter-subscribe'), {
      key: keys.adapter,
    }),
  });
  routeExactly(options.http, io, others);
  io.engine.use(createDoorway({ ...options, now: () => performance.now() }));
  const sendBuffers = createSendBuffers(io.engine, options.sendBufferBytes);
  io.engine.on('connection_error', (error: { code: number; message: string }) =>
    log.debug({ source: 'socket' }, `A connection was refused: ${error.message} (${error.code})`),
  );

  const context: ConversationContext = {
    ...options.context,
    sessions,
    sendBuffers,
    announce: (orchestratorId, owner) => io.serverSideEmit('owner', orchestratorId, owner),
    forward(frame, session) {
      options.onFrame(frame, (each, onAck) => {
        session.emit(each, onAck);
        return true;
      });
    },
    draining: () => draining,
    departing(written) {
      departures.add(written);
      void written.finally(() => departures.delete(written));
    },
  };
  io.on('connection', (socket) => startConversation(socket, context));

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
  async function onRegistered(orchestratorId: string): Promise<void> {
    await sessions.settled(orchestratorId);
    const session = sessions.get(orchestratorId);
    if (session === undefined) return;
    try {
      const parked = await context.connections.refresh(session.connection);
      for (const frame of parked) context.forward(frame, session);
    } catch (error) {
      log.warn(
        { source: 'socket', orchestrator_id: orchestratorId, reason: reasonOf(error) },
        `Presence of ${orchestratorId} was not brought in line with its row`,
      );
    }
  }
  io.on('owner', (...told) => void onOwner(...told));
  io.on('close', (...told) => void onClose(...told));
  io.on('independence', options.onIndependence);
  io.on('registered', (id) => void onRegistered(id));

  return {
    io,
    settled: sessions.settled,
    emit(frame, onAck) {
      const session = sessions.get(frame.orchestrator_id);
      if (session === undefined || session.connection.epoch < frame.epoch) return false;
      session.emit(frame, onAck);
      return true;
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
    has: (connection) => sessions.get(connection.orchestratorId)?.connection === connection,
    supersede: ({ orchestratorId }, owner) => void onOwner(orchestratorId, owner),
    async drain(perSecond) {
      draining = true;
      const tickMs = 100;
      const perTick = Math.max(1, Math.round((perSecond * tickMs) / 1_000));
      let all = sessions.all();
      while (all.length > 0) {
        for (const session of all.slice(0, perTick)) session.sendAway(Math.round(Math.random() * 1_000));
        all = all.slice(perTick);
        if (all.length > 0) await new Promise((resolve) => setTimeout(resolve, tickMs));
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
      // Calls in hand are answered; one that is sent slowly must not hold the stop.
      const grace = setTimeout(() => options.calls.dropUnread(), callGraceMs);
      await io.close();
      clearTimeout(grace);
      await Promise.all(departures);
    },
  };
}
