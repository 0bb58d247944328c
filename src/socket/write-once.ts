// Owns sending what goes out on one connection at one time in one write: the kernel takes many bytes as quickly as few.
import type { Duplex } from 'node:stream';
import type { Socket } from 'socket.io';

/**
 * Calls `send`, and gives the packets that it emits to the connection together, in their order.
 */
export function sendTogether({ conn }: Pick<Socket, 'conn'>, send: () => void): void {
  const { transport } = conn;
  // One that is busy takes what gathers meanwhile together by itself.
  if (!transport.writable) {
    send();
    return;
  }
  transport.writable = false;
  try {
    send();
  } finally {
    transport.writable = true;
    const socket = tcpSocketOf(transport);
    socket?.cork();
    // Engine.IO sends what has gathered.
    transport.emit('ready');
    socket?.uncork();
  }
}

/** Of a websocket; Engine.IO keeps it to itself, and so does `ws`. A poll is answered by one write as it is. */
function tcpSocketOf(transport: Socket['conn']['transport']): Pick<Duplex, 'cork' | 'uncork'> | undefined {
  const websocket: unknown = Reflect.get(transport, 'socket');
  if (typeof websocket !== 'object' || websocket === null) return undefined;
  const socket: unknown = Reflect.get(websocket, '_socket');
  return canCork(socket) ? socket : undefined;
}

function canCork(it: unknown): it is Pick<Duplex, 'cork' | 'uncork'> {
  return typeof it === 'object' && it !== null && 'cork' in it && 'uncork' in it;
}
