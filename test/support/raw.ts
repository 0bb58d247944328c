// Owns bytes that a test sends on a connection of its own, and what comes back.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

export interface RawAnswer {
  /** The first line. */
  status: string;
  /** By name in small letters. */
  headers: Record<string, string>;
  body: string;
}

/** A connection to where a URL points. @param options.stubborn does not close its side because the other did */
export async function connectRaw(url: string, options: { stubborn?: boolean } = {}): Promise<Socket> {
  const { port, hostname } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: options.stubborn ?? false });
  await once(socket, 'connect');
  return socket;
}

/** Everything that comes until the other side closes, as one answer. */
export async function readAnswer(socket: Socket): Promise<RawAnswer> {
  const [head = '', ...rest] = (await text(socket)).split('\r\n\r\n');
  const [status = '', ...lines] = head.split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status, headers: Object.fromEntries(headers), body: rest.join('\r\n\r\n') };
}

/** Sends bytes on a connection of their own, and returns what comes until it is closed. */
export async function sendRaw(url: string, bytes: string): Promise<RawAnswer> {
  const socket = await connectRaw(url);
  socket.write(bytes);
  return readAnswer(socket);
}

/** A request for a new websocket on `/ws`. */
export function upgradeRequest(headers: Record<string, string> = {}): string {
  const all = {
    Host: 'controller.example.com',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET /ws?EIO=4&transport=websocket HTTP/1.1\r\n${lines.join('')}\r\n`;
}
