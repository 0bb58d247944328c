// Owns the server of websockets that Engine.IO is given.
import { type ServerOptions, WebSocketServer } from 'ws';
import { ShortcutWebSocket } from './shortcut.ts';

/**
 * For the `wsEngine` option of Socket.IO's server: an upgrade is answered, and the connection opened, in one write, and
 * heartbeats may take a short way.
 */
export class Websockets extends WebSocketServer {
  constructor(options: ServerOptions) {
    super({ ...options, WebSocket: ShortcutWebSocket });
  }

  override handleUpgrade(...[request, socket, ...more]: Parameters<WebSocketServer['handleUpgrade']>): void {
    socket.cork();
    // Engine.IO opens the connection before this turn of the event loop ends.
    setImmediate(() => socket.uncork());
    super.handleUpgrade(request, socket, ...more);
  }
}
