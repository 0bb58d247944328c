// Owns one socket that claims to be an orchestrator, among others that do: it remembers what it was told, and when.
import { io, type Socket } from 'socket.io-client';
import { z } from 'zod';

const ackSchema = z.looseObject({ epoch: z.int(), node_id: z.string() });
const frameSchema = z.looseObject({ message_id: z.string(), data: z.unknown(), timestamp: z.string() });
const beatAckSchema = z.looseObject({ status: z.string(), ts: z.string() });

export interface ReceivedFrame {
  readonly messageId: string;
  readonly data: unknown;
  /** When the controller accepted it. */
  readonly acceptedAt: number;
  readonly at: number;
}

/** All times are ms since the epoch, when this process came to read what had arrived. */
export interface Contender {
  readonly orchestratorId: string;
  readonly socket: Socket;
  /** Resolves once its handshake is on its way, or never will be. */
  readonly dialed: Promise<void>;
  /** What its `handshake_ack` said. */
  readonly welcome: { readonly epoch: number; readonly nodeId: string; readonly at: number } | undefined;
  readonly frames: readonly ReceivedFrame[];
  /** The names of all events it was told, in order. */
  readonly told: readonly string[];
  /** The `ts` of each heartbeat that was acknowledged as processed. */
  readonly processed: readonly string[];
  /** Whether it will neither be told nor tell anything any more; a connection that was refused counts. */
  readonly isOver: boolean;
  /** Whether its connection is one that counted, and it was not told otherwise. */
  readonly isConnected: boolean;
  /** Sends a heartbeat, if it is connected; whether and how that is acknowledged shows in `processed`. */
  beat(): void;
  close(): void;
}

/** Dials, and shakes hands as soon as it can. Waits for neither. Acknowledges each frame with its `message_id`. */
export function contend(url: string, orchestratorId: string): Contender {
  const socket = io(url, { path: '/ws', transports: ['websocket'], reconnection: false, forceNew: true });
  const frames: ReceivedFrame[] = [];
  const told: string[] = [];
  const processed: string[] = [];
  let welcome: Contender['welcome'];
  let isOver = false;
  const dialed = Promise.withResolvers<void>();
  const end = () => {
    isOver = true;
    dialed.resolve();
  };
  socket.on('connect', () => {
    socket.emit('handshake', { data: { orchestrator_id: orchestratorId } });
    dialed.resolve();
  });
  socket.on('connect_error', end);
  socket.on('disconnect', end);
  socket.onAny((event: string, ...received: unknown[]) => {
    told.push(event);
    const [payload] = received;
    if (event === 'handshake_ack') {
      const { epoch, node_id: nodeId } = ackSchema.parse(payload);
      welcome = { epoch, nodeId, at: Date.now() };
    }
    const frame = frameSchema.safeParse(payload);
    if (!frame.success) return;
    const { message_id: messageId, data, timestamp } = frame.data;
    frames.push({ messageId, data, acceptedAt: Date.parse(timestamp), at: Date.now() });
    for (const acknowledge of received) if (typeof acknowledge === 'function') acknowledge(messageId);
  });
  return {
    orchestratorId,
    socket,
    dialed: dialed.promise,
    frames,
    told,
    processed,
    get welcome() {
      return welcome;
    },
    get isOver() {
      return isOver;
    },
    get isConnected() {
      return welcome !== undefined && !isOver;
    },
    beat() {
      if (welcome === undefined || isOver) return;
      socket.emit('i_am_alive', {}, (body: unknown) => {
        const { status, ts } = beatAckSchema.parse(body);
        if (status === 'processed') processed.push(ts);
      });
    },
    close() {
      // A socket that is closed while it dials tells nobody.
      end();
      socket.disconnect();
    },
  };
}
