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
  const fail = (error: SocketError) => {
    socket.emit('error', error);
  };
  const hangUp = () => {
    socket.disconnect(true);
  };
  return {
    fail,
    end(error) {
      fail(error);
      hangUp();
    },
    superseded(owner) {
      const notice: Superseded = { epoch: owner.epoch, by_node: owner.nodeId };
      socket.emit('superseded', notice);
      hangUp();
    },
    reconnect(afterMs) {
      const notice: Reconnect = { after_ms: afterMs };
      socket.emit('reconnect', notice);
    },
    hangUp,
  };
}
