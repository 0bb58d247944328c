// Owns emitting frames on one socket: each once, in the order of its sender, and what is heard of it.
import type { Socket } from 'socket.io';
import type { Clock } from '../clock.ts';
import type { Emit } from '../fleet/arrivals.ts';
import type { Delivered } from './protocol.ts';
import type { Receipts } from './receipts.ts';

/** How many message ids a connection remembers, to know repeats and what a frame must come behind. */
const remembered = 256;

export function createEmission(socket: Socket, receipts: Receipts, clock: Clock): Emit {
  const known = new Map<string, { received: boolean }>();

  function remember(messageId: string): { received: boolean } {
    const state = { received: false };
    known.set(messageId, state);
    if (known.size > remembered) for (const oldest of known.keys().take(1)) known.delete(oldest);
    return state;
  }

  return (frame, heard) => {
    const { type, data, message_id, timestamp } = frame;
    const repeated = known.get(message_id);
    if (repeated !== undefined) {
      // Its sender asks again: the answer to the first may have been lost.
      if (repeated.received) heard.received();
      return true;
    }
    if (frame.after !== null && !known.has(frame.after)) return false;
    const state = remember(message_id);
    const body: Delivered = { type, data, message_id, timestamp };
    if (frame.ack) {
      socket
        .timeout(Math.max(1, frame.deadline - clock.now()))
        .emit(type, body, (error: Error | null, value: unknown) => {
          if (error === null) heard.acknowledged(value);
        });
      return true;
    }
    socket.emit(type, body);
    receipts.ask(() => {
      state.received = true;
      heard.received();
    });
    return true;
  };
}
