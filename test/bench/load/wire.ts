// Owns a connection to `/ws` that costs its process next to nothing: Engine.IO 4 and Socket.IO 5 by hand, over `ws`.
// https://socket.io/docs/v4/engine-io-protocol/, https://socket.io/docs/v4/socket-io-protocol/
import { once } from 'node:events';
import { WebSocket } from 'ws';

export interface Wire {
  readonly socket: WebSocket;
  /** Emits with an acknowledgement; one at a time. Resolves to the JSON of its arguments. @throws if it is closed */
  call(event: string, payload: object): Promise<string>;
  /** Told of each event that comes: the text of its packet. */
  onEvent: (packet: string) => void;
  /** Told of each acknowledgement, once nobody awaits `call`. */
  onAcknowledged: () => void;
}

const open = '0';
const ping = '2';
const pong = '3';
const connect = '40';
const event = '42';
const acknowledgement = '43';

/** Nothing is masked by zeros: that saves the bytes the work, and the server does not see the difference. */
const generateMask = (mask: Buffer) => void mask.fill(0);

/** Connects and enters the namespace; no handshake of ours. @param url of HTTP */
export async function openWire(url: string): Promise<Wire> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?EIO=4&transport=websocket`, {
    perMessageDeflate: false,
    generateMask,
    skipUTF8Validation: true,
  });
  let called: PromiseWithResolvers<string> | undefined;
  const entered = Promise.withResolvers<void>();
  const wire: Wire = {
    socket,
    onEvent: () => undefined,
    onAcknowledged: () => undefined,
    call(name, payload) {
      called = Promise.withResolvers();
      socket.send(encodeCall(name, payload));
      return called.promise;
    },
  };
  socket.on('message', (data) => {
    const packet = String(data);
    if (packet.startsWith(acknowledgement)) {
      if (called === undefined) return wire.onAcknowledged();
      called.resolve(packet.slice(packet.indexOf('[')));
      called = undefined;
    } else if (packet === ping) socket.send(pong);
    else if (packet.startsWith(event)) wire.onEvent(packet);
    else if (packet.startsWith(open)) socket.send(connect);
    else if (packet.startsWith(connect)) entered.resolve();
  });
  socket.on('close', () => called?.reject(new Error('the connection was closed')));
  // An error comes before, and rejects this.
  const refused = once(socket, 'close').then(([code, reason]) => {
    throw new Error(`the connection was closed before it was one: ${code} ${String(reason)}`);
  });
  socket.on('error', () => undefined);
  refused.catch(() => undefined);
  await Promise.race([entered.promise, refused]);
  return wire;
}

/** An event as text that asks for acknowledgement 1: the same number each time, as one alone is under way. */
export function encodeCall(name: string, payload: object): string {
  return `${event}1${JSON.stringify([name, payload])}`;
}
