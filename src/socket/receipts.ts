// Owns knowing what an orchestrator has received: behind a frame goes a ping of Engine.IO's, and a client answers it only
// when it has read all that came before. That a frame was handed to a socket says nothing: its peer may be gone.
import type { Socket } from 'socket.io';

export interface Receipts {
  /**
   * Sends, and calls back once the client has received what was sent; never if the connection ends before.
   * @param send emits on the socket, at once
   */
  ask(send: () => void, received: () => void): void;
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
  /** Of what is being sent, and of what stands in the buffer. */
  let sending: (() => void) | undefined;
  let buffered: (() => void)[] = [];

  // Engine.IO's own pings among them: a pong does not say which it answers.
  conn.on('packetCreate', ({ type }: { type: string }) => {
    if (type === 'ping') pings += 1;
    // What an ended connection does not take makes no packet, and has no receipt.
    if (sending === undefined) return;
    buffered.push(sending);
    sending = undefined;
  });
  // All that goes out together has one ping behind it, which goes with it: Engine.IO would keep one that is sent by itself
  // until the frame is written. It has no means for that but this: the buffer is told before it is written.
  conn.on('flush', (buffer: { type: string; options: object }[]) => {
    if (buffered.length === 0) return;
    buffer.push({ type: 'ping', options: { compress: false } });
    pings += 1;
    for (const received of buffered) waiting.push({ ping: pings, received });
    buffered = [];
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
    ask(send, received) {
      sending = received;
      send();
      sending = undefined;
    },
  };
}
