// Owns emitting frames on one socket: each once, in the order of its sender, and what is heard of it.
import type { Socket } from 'socket.io';
import type { Clock } from '../clock.ts';
import type { Emit, Heard } from '../fleet/arrivals.ts';
import type { Frame } from '../queue/frame.ts';
import type { Delivered } from './protocol.ts';
import type { Receipts } from './receipts.ts';

interface Emitted {
  readonly deadline: number;
  /** Tells what was heard of it, once something was. */
  tell?: (heard: Heard) => void;
}

export function createEmission(socket: Socket, receipts: Receipts, clock: Clock): Emit {
  const known = new Map<string, Emitted>();

  function remember({ message_id, deadline }: Frame): Emitted {
    // Its sender names it, and sends it again, until its deadline and no longer.
    for (const [id, oldest] of known) {
      if (clock.now() < oldest.deadline) break;
      known.delete(id);
    }
    const state: Emitted = { deadline };
    known.set(message_id, state);
    return state;
  }

  return (frame, heard) => {
    const { type, data, message_id, timestamp } = frame;
    const repeated = known.get(message_id);
    if (repeated !== undefined) {
      // Its sender asks again: the answer to the first may have been lost.
      repeated.tell?.(heard);
      return true;
    }
    if (frame.after !== null && !known.has(frame.after)) return false;
    const state = remember(frame);
    const settle = (tell: (heard: Heard) => void): void => {
      state.tell = tell;
      tell(heard);
    };
    const body: Delivered = { type, data, message_id, timestamp };
    if (frame.ack) {
      socket
        .timeout(Math.max(1, frame.deadline - clock.now()))
        .emit(type, body, (error: Error | null, value: unknown) => {
          if (error === null) settle((to) => to.acknowledged(value));
        });
      return true;
    }
    receipts.ask(
      () => socket.emit(type, body),
      () => settle((to) => to.received()),
    );
    return true;
  };
}
