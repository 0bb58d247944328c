// Owns what an orchestrator is told outside of answers: errors, and why its connection ends.
import type { Socket } from 'socket.io';
import type { Owner } from '../redis/presence.ts';
import type { Reconnect, SocketError, Superseded } from './protocol.ts';

export interface Notices {
  /** Something went wrong; the connection stays. */
  fail(error: SocketError): void;
  /** Something went wrong that ends the connection. */
  end(error: SocketError): void;
  /** A newer connection counts; this one ends. */
  superseded(owner: Owner): void;
  /** This replica takes nobody; the orchestrator comes back after about that long, to whichever takes it. */
  reconnect(afterMs: number): void;
  /** Ends the connection without a word. */
  hangUp(): void;
}

export function createNotices(socket: Socket): Notices {
  return new SocketNotices(socket);
}

class SocketNotices implements Notices {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  fail(error: SocketError): void {
    this.#socket.emit('error', error);
  }

  end(error: SocketError): void {
    this.fail(error);
    this.hangUp();
  }

  superseded(owner: Owner): void {
    const notice: Superseded = { epoch: owner.epoch, by_node: owner.nodeId };
    this.#socket.emit('superseded', notice);
    this.hangUp();
  }

  reconnect(afterMs: number): void {
    const notice: Reconnect = { after_ms: afterMs };
    this.#socket.emit('reconnect', notice);
  }

  hangUp(): void {
    this.#socket.disconnect(true);
  }
}
