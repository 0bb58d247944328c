// Owns the target before all events: what a client says of itself when it connects, its token first of all.
import fc from 'fast-check';
import { io } from 'socket.io-client';
import { socketPath } from '../../src/socket/path.ts';
import { hostileJson } from './hostile.ts';
import { requireDiscreet } from './judgement.ts';
import type { Scene } from './scene.ts';
import { createTarget, type Target } from './target.ts';

const answerWithinMs = 10_000;

export function connectTarget({ known, writes, replica }: Scene): Target {
  const token = fc.oneof(
    known.named.token ?? fc.string(),
    fc.string(),
    fc.constantFrom('a.b.c', 'e30.e30.', null),
  );
  const auths = hostileJson(fc.record({ token }), { damaged: false }).filter(isObject);
  return createTarget({
    name: 'ws (connect)',
    share: 0.5,
    calls: auths,
    async perform(text) {
      await writes.count();
      const socket = io(replica.controller.url, {
        path: socketPath,
        transports: ['websocket'],
        reconnection: false,
        forceNew: true,
        auth: (say) => say(JSON.parse(text)),
      });
      try {
        const { promise, resolve, reject } = Promise.withResolvers<string>();
        const late = setTimeout(
          () => reject(new Error(`no answer within ${answerWithinMs} ms`)),
          answerWithinMs,
        );
        socket.once('connect', () => resolve('accepted'));
        socket.once('connect_error', (error) => {
          const told = JSON.stringify({ message: error.message, data: Reflect.get(error, 'data') });
          resolve(told);
        });
        // Behind what it was told, at which the client itself closes.
        socket.io.engine.once('close', () => setImmediate(resolve, 'closed'));
        const told = await promise.finally(() => clearTimeout(late));
        requireDiscreet(told);
        await writes.requireNone();
        return told.startsWith('{') ? (/"code":"(\w+)"/.exec(told)?.[1] ?? 'connect_error') : told;
      } finally {
        socket.disconnect();
      }
    },
    describe: (text) => `on /ws: connect with auth ${text.slice(0, 4_000)}`,
  });
}

/** The client puts it together itself: it must be an object. */
function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
