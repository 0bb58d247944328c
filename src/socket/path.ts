// Owns the path of the socket side: `/ws` and nothing that only begins so.
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Server as SocketServer } from 'socket.io';

export const socketPath = '/ws';

/** Whether a request is for the socket side; a client's library may put a slash behind the path. */
export function isForSockets(request: IncomingMessage): boolean {
  const [path] = (request.url ?? '').split('?', 1);
  return path === socketPath || path === `${socketPath}/`;
}

/** Whether a request is a poll, or an upgrade, of a connection that is in already: read as Engine.IO reads it. */
export function isOfConnection(request: IncomingMessage): boolean {
  const { url = '/' } = request;
  // Most ask for a new one, and each is asked more than once. A name may be written in percent signs.
  if (!url.includes('sid') && !url.includes('%')) return false;
  const { searchParams } = new URL(url, 'http://any');
  // Of several the last; an empty one asks for a new connection.
  return (searchParams.getAll('sid').at(-1) ?? '') !== '';
}

/**
 * Gives the requests for the socket side to Socket.IO and all others to who listened before it was attached. It
 * compares a prefix, and would answer for `/wsx` as well.
 * @param others who listened before
 */
export function routeExactly(
  http: HttpServer,
  io: SocketServer,
  others: readonly ReturnType<HttpServer['listeners']>[number][],
): void {
  http.removeAllListeners('request');
  http.on('request', (request, response) => {
    if (isForSockets(request)) io.engine.handleRequest(request, response);
    else for (const other of others) Reflect.apply(other, http, [request, response]);
  });
}
