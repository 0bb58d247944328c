// Owns emitting frames on one socket: each once, with its acknowledgement awaited until its deadline.
import type { Socket } from 'socket.io';
import type { Clock } from '../clock.ts';
import type { Frame } from '../queue/frame.ts';
import type { Delivered } from './protocol.ts';

/** How many message ids a connection remembers, to emit a frame that reached it by two ways once. */
const remembered = 256;

/** @returns a function that emits a frame; `onAck` is told what the acknowledgement returned, if it comes in time */
export function createEmission(
  socket: Socket,
  clock: Clock,
): (frame: Frame, onAck: (value: unknown) => void) => void {
  const emitted = new Set<string>();
  return (frame, onAck) => {
    const { type, data, message_id, timestamp } = frame;
    if (emitted.has(message_id)) return;
    emitted.add(message_id);
    if (emitted.size > remembered) for (const oldest of emitted.values().take(1)) emitted.delete(oldest);
    const body: Delivered = { type, data, message_id, timestamp };
    if (!frame.ack) socket.emit(type, body);
    else
      socket
        .timeout(Math.max(1, frame.deadline - clock.now()))
        .emit(type, body, (error: Error | null, value: unknown) => {
          if (error === null) onAck(value);
        });
  };
}
