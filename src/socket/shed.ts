// Owns what only the making of a connection needs: let go once it is made, or each would keep kilobytes of it.
import { ServerResponse } from 'node:http';
import type { Socket } from 'socket.io';
import type { Step } from './entrance.ts';

/** As Socket.IO describes how somebody came; nobody asks once who it is is known. */
const forgotten: Socket['handshake'] = Object.freeze({
  headers: {},
  time: '',
  address: '',
  xdomain: false,
  secure: false,
  issued: 0,
  url: '',
  query: {},
  auth: {},
});

/** Comes behind any other step: the answer to an upgrade is complete then. */
export const shedAnswer: Step = (_request, response: object, next) => {
  // Engine.IO's own of an upgrade lives as long as the connection, and would keep the request.
  if (!(response instanceof ServerResponse)) Reflect.set(response, 'req', undefined);
  next();
};

/**
 * Lets go of the request that a connection came with.
 * Source: https://socket.io/docs/v4/memory-usage/
 */
export function shedRequest(socket: Socket): void {
  const { conn } = socket;
  Reflect.set(conn, 'request', null);
  Reflect.set(socket, 'handshake', forgotten);
  const websocket: unknown = Reflect.get(conn.transport, 'socket');
  if (!isEmitter(websocket)) return;
  // It was to answer for an error before the transport did.
  for (const listener of websocket.listeners('error'))
    if (listener.name === 'onUpgradeError') websocket.off('error', listener);
}

type Listener = (...args: unknown[]) => void;

interface Emitter {
  listeners(event: string): Listener[];
  off(event: string, listener: Listener): unknown;
}

function isEmitter(it: unknown): it is Emitter {
  return typeof it === 'object' && it !== null && 'listeners' in it && 'off' in it;
}
