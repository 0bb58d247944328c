// Owns how much may wait to be read on one connection: who lets more gather is cut off, and the memory freed.
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Server, Socket } from 'socket.io';
import type { Step } from './entrance.ts';

type Connection = Socket['conn'];
type Transport = Connection['transport'];

export interface SendBuffers {
  /** Notes through which response a poll is answered. */
  readonly note: Step;
  /**
   * Watches a connection from now on. A packet that would bring what waits on it over the bound ends it instead,
   * at once and without a goodbye, which nobody would read; `onExceeded` is called before that.
   */
  watch(conn: Connection, onExceeded: () => void): void;
  /** Bytes that wait on all connections. */
  readonly bytes: number;
}

/** What waits on one connection, in bytes. */
interface Waiting {
  /** No transport has taken it yet. */
  queued: number;
  /** A transport has, and the kernel not, unless that transport takes more. */
  taken: number;
  /** Answers to polls that nobody has read yet. */
  unread: Map<ServerResponse, number> | undefined;
  readonly onExceeded: () => void;
}

/** @param limitBytes how much may wait on one connection, beside what the kernel holds */
export function createSendBuffers(engine: Server['engine'], limitBytes: number): SendBuffers {
  const watched = new Map<Connection, Waiting>();
  // Engine.IO tells which poll it answers, but not through which response.
  const responses = new WeakMap<IncomingMessage, ServerResponse>();

  function bytesOf(conn: Connection, waiting: Waiting): number {
    if (conn.transport.writable) waiting.taken = 0;
    const unread = waiting.unread?.values().reduce((sum, bytes) => sum + bytes, 0) ?? 0;
    return waiting.queued + waiting.taken + unread;
  }

  /** A poll counts as taken once it is answered, whether or not anybody reads the answer. */
  function followPolls(transport: Transport, waiting: Waiting): void {
    transport.on('headers', (_headers: unknown, request: IncomingMessage) => {
      const response = responses.get(request);
      if (request.method !== 'GET' || response === undefined) return;
      const unread = waiting.unread ?? new Map<ServerResponse, number>();
      waiting.unread = unread;
      unread.set(response, waiting.taken);
      waiting.taken = 0;
      response.once('close', () => unread.delete(response));
    });
  }

  function end(conn: Connection, { onExceeded, unread }: Waiting): void {
    onExceeded();
    const { transport } = conn;
    conn.close(true);
    for (const response of unread?.keys() ?? []) response.destroy();
    terminate(transport);
  }

  // One for all connections: there are thousands.
  function onPacketCreate(this: Connection, { data }: { data?: string | NodeJS.ArrayBufferView }): void {
    const waiting = watched.get(this);
    if (waiting === undefined) return;
    const bytes = data === undefined ? 0 : Buffer.byteLength(data);
    if (bytesOf(this, waiting) + bytes > limitBytes) end(this, waiting);
    else waiting.queued += bytes;
  }
  function onClose(this: Connection): void {
    watched.delete(this);
  }
  engine.on('flush', (conn: Connection) => {
    const waiting = watched.get(conn);
    if (waiting === undefined) return;
    waiting.taken += waiting.queued;
    waiting.queued = 0;
  });

  return {
    note(request, response, next) {
      if (response instanceof ServerResponse) responses.set(request, response);
      next();
    },
    watch(conn, onExceeded) {
      const waiting: Waiting = { queued: 0, taken: 0, unread: undefined, onExceeded };
      watched.set(conn, waiting);
      if (conn.transport.name === 'polling') followPolls(conn.transport, waiting);
      conn.on('packetCreate', onPacketCreate);
      conn.on('close', onClose);
    },
    get bytes() {
      return watched.entries().reduce((sum, [conn, waiting]) => sum + bytesOf(conn, waiting), 0);
    },
  };
}

/** Engine.IO keeps the websocket to itself, and closing it gives the peer half a minute to read what waits. */
function terminate(transport: Transport): void {
  const websocket: unknown = Reflect.get(transport, 'socket');
  if (canTerminate(websocket)) websocket.terminate();
}

function canTerminate(it: unknown): it is { terminate(): void } {
  return typeof it === 'object' && it !== null && 'terminate' in it && typeof it.terminate === 'function';
}
