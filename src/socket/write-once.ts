// Owns sending what goes out on one connection at one time in one write: the kernel takes many bytes as quickly as few.
import type { Socket } from 'socket.io';
import { renderFrames } from './frames.ts';

type Connection = Socket['conn'];

/**
 * Calls `send`, and gives the packets that it emits to the connection together, in their order.
 */
export function sendTogether({ conn }: Pick<Socket, 'conn'>, send: () => void): void {
  const { transport } = conn;
  // One that is busy takes what gathers meanwhile together by itself.
  if (!transport.writable) {
    send();
    return;
  }
  transport.writable = false;
  try {
    send();
  } finally {
    transport.writable = true;
    // A poll is answered by one write as it is.
    if (transport.name === 'websocket') joinPackets(conn);
    // Engine.IO sends what has gathered.
    transport.emit('ready');
  }
}

/**
 * Emits an event whose payload is JSON already. Socket.IO would look for bytes in it first, and write a JSON of its own.
 * Source: https://socket.io/docs/v4/socket-io-protocol/#packet-encoding
 */
export function emitJson({ conn }: Pick<Socket, 'conn'>, event: string, json: string): void {
  conn.write(`2["${event}",${json}]`, { compress: false });
}

/** Makes one packet of those that wait, whose frames are rendered already: Engine.IO would write each in two pieces. */
function joinPackets(conn: Connection): void {
  const waiting: unknown = Reflect.get(conn, 'writeBuffer');
  if (!Array.isArray(waiting)) throw new Error('this version of Engine.IO keeps its packets elsewhere');
  const texts = waiting.map(textOf);
  if (texts.length < 2 || !texts.every((text) => text !== undefined)) return;
  const options = { compress: false, wsPreEncodedFrame: [renderFrames(texts)] };
  Reflect.set(conn, 'writeBuffer', [{ type: 'message', options }]);
}

/** Of a message as Engine.IO keeps it; undefined for anything else, and for bytes. */
function textOf(packet: unknown): string | undefined {
  if (typeof packet !== 'object' || packet === null || !('type' in packet && 'data' in packet))
    return undefined;
  return packet.type === 'message' && typeof packet.data === 'string' ? packet.data : undefined;
}
