// Owns the short way of a heartbeat, from its packet to its acknowledgement, past what Socket.IO does for any event.
import type { Socket } from 'socket.io';
import * as parser from 'socket.io-parser';

/** Takes a heartbeat that wants an acknowledgement; false where it is to go the long way. */
export type TakeBeat = (payload: unknown, acknowledge: (json: string) => void) => boolean;

/** An event of the one namespace that there is, with the number of its acknowledgement. */
const beatPacket = /^2(0|[1-9]\d{0,14})(?=\["i_am_alive"[,\]])/;
/** A text that is one frame, whole; its length follows. Source: RFC 6455, 5.2 */
const textFrame = 0x81;
/** The longest whose length is that one byte. */
const longestShort = 125;
/** What a packet of Socket.IO is to Engine.IO. */
const messagePrefix = '4';

/**
 * Socket.IO's own, but that a heartbeat may be taken before it becomes an event. Whatever is odd about it (a payload
 * that is no JSON, arguments that nobody asked for) is left to Socket.IO.
 */
class Decoder extends parser.Decoder {
  take: ((id: string, payload: unknown) => boolean) | undefined;

  override add(packet: unknown): void {
    if (this.take === undefined || typeof packet !== 'string' || !this.offer(this.take, packet))
      super.add(packet);
  }

  private offer(take: NonNullable<Decoder['take']>, packet: string): boolean {
    const id = beatPacket.exec(packet)?.[1];
    if (id === undefined) return false;
    const args = parseList(packet.slice(id.length + 1));
    return args !== undefined && args.length <= 2 && take(id, args[1]);
  }
}

function parseList(json: string): unknown[] | undefined {
  try {
    const parsed: unknown = JSON.parse(json);
    return Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** For the `parser` of the server whose heartbeats are to be taken. */
export const parserWithShortcut = { ...parser, Decoder };

/** From now on heartbeats of this socket are offered to `take` first. */
export function takeBeats(socket: Socket, take: TakeBeat): void {
  const decoder: unknown = Reflect.get(socket.client, 'decoder');
  if (!(decoder instanceof Decoder)) throw new Error('this version of Socket.IO keeps its decoder elsewhere');
  decoder.take = (id, payload) => take(payload, (json) => writeText(socket.conn, `3${id}[${json}]`));
}

/** @param text ASCII */
function writeText(conn: Socket['conn'], text: string): void {
  // Rendered here, it is one buffer and one write; Engine.IO would render a header and a text for the websocket to join.
  const frame = text.length < longestShort ? [renderFrame(text)] : undefined;
  const options = { compress: false, wsPreEncodedFrame: frame };
  conn.write(text, options);
}

function renderFrame(text: string): Buffer {
  const frame = Buffer.allocUnsafe(text.length + 3);
  frame[0] = textFrame;
  frame[1] = text.length + messagePrefix.length;
  frame.write(messagePrefix + text, 2, 'latin1');
  return frame;
}
