// Owns what is answered beneath the protocol, before anybody is known: who asks without reading must not fill the memory.
import type { Server, Socket } from 'socket.io';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { createPacedWarning } from '../paced-warning.ts';

/** Source: https://socket.io/docs/v4/socket-io-protocol/#packet-encoding */
const connectPacket = '0';

type Connection = Socket['conn'];

/** A websocket of the library `ws`, as far as it is needed here. */
interface Websocket {
  on(event: 'ping', listener: (this: Websocket) => void): unknown;
  /** Bytes that neither the kernel nor the peer has taken. */
  readonly bufferedAmount: number;
  terminate(): void;
}

/**
 * A connection is ended that asks for a namespace twice, or that lets more than `limitBytes` of answers to its pings
 * gather. Both are answered by the libraries themselves, also to whoever has shown no token yet.
 */
export function boundReflexes(options: {
  engine: Server['engine'];
  limitBytes: number;
  metrics: Metrics;
  log: Log;
}): void {
  const { engine, limitBytes, metrics, log } = options;
  const warn = createPacedWarning({ log, event: 'flood' });

  // There is one namespace. While a token is looked at, each further CONNECT would be another conversation on the
  // same connection, and each for a namespace that does not exist is answered.
  const asked = new WeakSet<Connection>();
  function onPacket(this: Connection, { type, data }: { type: string; data?: unknown }): void {
    if (type !== 'message' || typeof data !== 'string' || !data.startsWith(connectPacket)) return;
    if (asked.has(this)) {
      warn({ source: 'socket' }, '[C-OCS] A connection asked for a namespace again; disconnected');
      this.close(true);
    }
    asked.add(this);
  }
  engine.on('connection', (conn: Connection) => conn.on('packet', onPacket));

  // Engine.IO keeps its websockets to itself, and those that are not yet a connection's as well.
  const onWebSocket: unknown = Reflect.get(engine, 'onWebSocket');
  if (typeof onWebSocket !== 'function')
    throw new Error('this version of Engine.IO takes websockets elsewhere');
  function onPing(this: Websocket): void {
    if (this.bufferedAmount <= limitBytes) return;
    metrics.slowReaders.inc();
    warn({ source: 'socket' }, '[C-OCS] A connection sent pings and read no answer; disconnected');
    this.terminate();
  }
  Reflect.set(engine, 'onWebSocket', (request: unknown, socket: unknown, websocket: Websocket) => {
    websocket.on('ping', onPing);
    Reflect.apply(onWebSocket, engine, [request, socket, websocket]);
  });
}
