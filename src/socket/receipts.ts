// Owns knowing what an orchestrator has received: behind a frame goes a ping of Engine.IO's, and a client answers it only
// when it has read all that came before. That a frame was handed to a socket says nothing: its peer may be gone.
import type { Socket } from 'socket.io';

export interface Receipts {
  /** Calls back once the client has received all that was sent so far; never if the connection ends before. */
  ask(received: () => void): void;
}

/**
 * Every Engine.IO client must answer a ping, in the order of the packets.
 * Source: https://socket.io/docs/v4/engine-io-protocol/#heartbeat
 */
export function createReceipts({ conn }: Pick<Socket, 'conn'>): Receipts {
  // One of Engine.IO's own may be on its way.
  let pings = Reflect.get(conn, 'pingTimeoutTimer') === null ? 0 : 1;
  let pongs = 0;
  const waiting: { ping: number; received(): void }[] = [];

  // Engine.IO's own pings among them: a pong does not say which it answers.
  conn.on('packetCreate', ({ type }: { type: string }) => {
    if (type === 'ping') pings += 1;
  });
  conn.on('packet', ({ type }: { type: string }) => {
    if (type !== 'pong') return;
    // One that nothing was asked for answers nothing that is asked later.
    pongs = Math.min(pongs + 1, pings);
    for (let next = waiting[0]; next !== undefined && next.ping <= pongs; next = waiting[0]) {
      waiting.shift();
      next.received();
    }
  });

  return {
    ask(received) {
      // Engine.IO pings by a timer only, and keeps the means to itself.
      const send: unknown = Reflect.get(conn, 'sendPacket');
      if (typeof send !== 'function') throw new Error('this version of Engine.IO sends no ping on demand');
      Reflect.apply(send, conn, ['ping']);
      waiting.push({ ping: pings, received });
    },
  };
}
