// Owns joining two connections, so that each gets what the other sends and ends when the other does.
import type { Socket } from 'node:net';

/** @param open both are in it for as long as they are open */
export function join(one: Socket, other: Socket, open: Set<Socket>): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    open.add(from);
    from.setNoDelay(true);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      open.delete(from);
      to.destroy();
    });
    from.pipe(to);
  }
}
