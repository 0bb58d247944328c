// Owns an orchestrator in tests: a bare Socket.IO client that remembers every event it got.
import { io, type Socket } from 'socket.io-client';
import type { HandshakeAck } from '../../src/socket/protocol.ts';
import { until } from './until.ts';

export interface Received {
  event: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into payloads of every shape, and fail where they differ
  payload: any;
}

export interface TestOrchestrator {
  readonly socket: Socket;
  /** Everything received so far, oldest first. */
  readonly received: Received[];
  /** Sends an event and returns what its acknowledgement said. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  ask(event: string, payload?: unknown): Promise<any>;
  handshake(orchestratorId: string, hello?: Record<string, unknown>): Promise<HandshakeAck>;
  /** The first event of this name, once it is there. */
  event(name: string): Promise<Received['payload']>;
  /** Resolves to the reason once the connection is closed. */
  closed(): Promise<string>;
  close(): void;
}

export async function connectOrchestrator(
  url: string,
  options: { transports?: ('websocket' | 'polling')[]; token?: string } = {},
): Promise<TestOrchestrator> {
  const socket = io(url, {
    path: '/ws',
    transports: options.transports ?? ['websocket'],
    ...(options.token === undefined ? {} : { auth: { token: options.token } }),
    reconnection: false,
    forceNew: true,
  });
  const received: Received[] = [];
  let reason: string | undefined;
  socket.onAny((event: string, payload: unknown) => received.push({ event, payload }));
  socket.on('disconnect', (why) => {
    reason = why;
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });

  const ask = (event: string, payload?: unknown) =>
    socket.timeout(30_000).emitWithAck(event, ...(payload === undefined ? [] : [payload]));
  return {
    socket,
    received,
    ask,
    handshake: (orchestratorId, hello = {}) =>
      ask('handshake', { type: 'handshake', data: { orchestrator_id: orchestratorId, ...hello } }),
    async event(name) {
      const found = await until(`the event ${name}`, () => received.find((each) => each.event === name));
      return found.payload;
    },
    closed: () => until('the connection to be closed', () => reason),
    close: () => socket.disconnect(),
  };
}
