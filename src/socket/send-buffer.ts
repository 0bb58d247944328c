// Owns how much may wait to be read on one connection: who lets more gather is cut off, and the memory freed.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server, Socket } from 'socket.io';

type Connection = Socket['conn'];
type Transport = Connection['transport'];

export interface SendBuffers {
  /**
   * Watches a connection from now on. A packet that would bring what waits on it over the bound ends it instead,
   * at once and without a goodbye, which nobody would read; `onExceeded` is called before that.
   */
  watch(conn: Connection, onExceeded: () => void): void;
  /** Bytes that wait on all connections. */
  readonly bytes: number;
}

/** @param limitBytes how much may wait on one connection, beside what the kernel holds */
export function createSendBuffers(engine: Server['engine'], limitBytes: number): SendBuffers {
  let total = 0;
  // Engine.IO tells which poll it answers, but not through which response.
  const responses = new WeakMap<IncomingMessage, ServerResponse>();
  engine.use((request: IncomingMessage, response: ServerResponse, next: () => void) => {
    responses.set(request, response);
    next();
  });

  function watch(conn: Connection, onExceeded: () => void): void {
    let waiting = 0;
    /** Of it, what no transport has taken yet, and what one has taken and the kernel not. */
    let queued = 0;
    let taken = 0;
    const unread = new Set<ServerResponse>();

    function add(bytes: number): void {
      waiting += bytes;
      total += bytes;
    }

    function follow(transport: Transport): void {
      transport.on('drain', () => {
        if (conn.transport !== transport) return;
        add(-taken);
        taken = 0;
      });
      // A poll counts as drained once it is answered, whether or not anybody reads the answer.
      transport.on('headers', (_headers: unknown, request: IncomingMessage) => {
        const response = responses.get(request);
        if (request.method !== 'GET' || response === undefined) return;
        const bytes = taken;
        taken = 0;
        unread.add(response);
        response.once('close', () => {
          unread.delete(response);
          add(-bytes);
        });
      });
    }

    function end(): void {
      onExceeded();
      const { transport } = conn;
      conn.close(true);
      for (const response of unread) response.destroy();
      terminate(transport);
    }

    follow(conn.transport);
    conn.on('upgrade', follow);
    conn.on('packetCreate', ({ data }: { data?: string | NodeJS.ArrayBufferView }) => {
      const bytes = data === undefined ? 0 : Buffer.byteLength(data);
      if (waiting + bytes > limitBytes) return end();
      add(bytes);
      queued += bytes;
    });
    conn.on('flush', () => {
      taken += queued;
      queued = 0;
    });
    conn.on('close', () => {
      add(-queued - taken);
      queued = 0;
      taken = 0;
    });
  }

  return {
    watch,
    get bytes() {
      return total;
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
