// Owns the short way of a heartbeat, from its frame to its acknowledgement, past what Engine.IO and Socket.IO do for any event.
import { Socket as TcpSocket } from 'node:net';
import type { Socket } from 'socket.io';
import { WebSocket } from 'ws';
import { type BeatReply, createBeatAckRenderer } from './beats.ts';
import { renderShortFrame } from './frames.ts';
import type { HeartbeatAck } from './protocol.ts';

type Connection = Socket['conn'];

export interface BeatTaker {
  /** Takes a heartbeat that wants an acknowledgement; false where it is to go the long way. */
  takeBeat(payload: unknown, reply: BeatReply): boolean;
}

const renderBeatAck = createBeatAckRenderer();

/** A message of Engine.IO, an event of the one namespace that there is, and the number of its acknowledgement. */
const beatPacket = /^42(0|[1-9]\d{0,14})(?=\["i_am_alive"[,\]])/;
const [four, two] = Buffer.from('42');

/**
 * A websocket that may be offered heartbeats before anybody else is told of them. Whatever is odd about one (a payload
 * that is no JSON, arguments that nobody asked for) is left to Socket.IO.
 */
export class ShortcutWebSocket extends WebSocket {
  #conn: Connection | undefined;
  #taker: BeatTaker | undefined;

  /** @param conn of which this is the transport by now */
  offerTo(conn: Connection, taker: BeatTaker): void {
    this.#conn = conn;
    this.#taker = taker;
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'message' && args[1] === false && this.#offer(args[0])) return true;
    return super.emit(event, ...args);
  }

  #offer(data: unknown): boolean {
    const taker = this.#taker;
    if (taker === undefined || !Buffer.isBuffer(data) || data[0] !== four || data[1] !== two) return false;
    if (this.#conn?.readyState !== 'open') return false;
    const packet = data.toString();
    const [prefix, id] = beatPacket.exec(packet) ?? [];
    if (prefix === undefined || id === undefined) return false;
    const args = parseList(packet.slice(prefix.length));
    return args !== undefined && args.length <= 2 && taker.takeBeat(args[1], new FrameReply(this, id));
  }

  /** @param text a packet of Socket.IO, ASCII */
  sendPacket(text: string): void {
    const conn = this.#conn;
    if (conn === undefined) return;
    const frame = renderShortFrame(text);
    const tcp: unknown = Reflect.get(this, '_socket');
    const isFree = conn.readyState === 'open' && this.readyState === this.OPEN && conn.transport.writable;
    // What waits already goes first, and is counted on its way through Engine.IO, as this is then.
    if (frame !== undefined && isFree && tcp instanceof TcpSocket && tcp.writableLength === 0)
      tcp.write(frame);
    else sendThrough(conn, text, frame);
  }
}

/** Answers over the websocket that a heartbeat came on. */
class FrameReply implements BeatReply {
  readonly #websocket: ShortcutWebSocket;
  readonly #id: string;

  constructor(websocket: ShortcutWebSocket, id: string) {
    this.#websocket = websocket;
    this.#id = id;
  }

  tell(status: HeartbeatAck['status'], atMs: number): void {
    this.#websocket.sendPacket(`3${this.#id}[${renderBeatAck(status, atMs)}]`);
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

/** From now on heartbeats of this socket are offered to `taker` first, where they come over a websocket. */
export function takeBeats({ conn }: Pick<Socket, 'conn'>, taker: BeatTaker): void {
  if (conn.transport.name === 'websocket') websocketOf(conn).offerTo(conn, taker);
  else conn.once('upgrade', () => websocketOf(conn).offerTo(conn, taker));
}

function websocketOf({ transport }: Connection): ShortcutWebSocket {
  const websocket: unknown = Reflect.get(transport, 'socket');
  if (websocket instanceof ShortcutWebSocket) return websocket;
  throw new Error('this version of Engine.IO keeps its websocket elsewhere');
}

function sendThrough(conn: Connection, text: string, frame: Buffer | undefined): void {
  // Rendered already, it is one buffer; Engine.IO would render a header and a text for the websocket to join.
  const options = { compress: false, wsPreEncodedFrame: frame === undefined ? undefined : [frame] };
  conn.write(text, options);
}
