// Owns the connection for a library that does not look at what becomes of its commands, and that only listens.
import { Redis } from 'ioredis';
import type { Log } from '../log.ts';

/** @returns a class of client that logs what was not carried out, and keeps its sharded subscriptions */
export function createListening(log: Log): typeof Redis {
  return class ListeningRedis extends Redis {
    /** Sharded channels. A server that gives the slot away ends them by itself, and ioredis forgets them then. */
    readonly #channels = new Set<string>();

    constructor(...args: ConstructorParameters<typeof Redis>) {
      super(...args);
      this.on('moved', () => this.disconnect(true));
      this.on('ready', () => {
        for (const channel of this.#channels) void this.ssubscribe(channel);
      });
    }

    /** Looks at the outcome of each command in the place of a caller that does not. */
    override sendCommand(...args: Parameters<Redis['sendCommand']>): unknown {
      const { name, args: parameters } = args[0];
      if (name === 'ssubscribe') for (const channel of parameters) this.#channels.add(String(channel));
      if (name === 'sunsubscribe') for (const channel of parameters) this.#channels.delete(String(channel));
      const reply = super.sendCommand(...args);
      if (reply instanceof Promise)
        reply.catch((error: unknown) => {
          // Its own introduction to the server (CLIENT SETINFO and the like) is ioredis's business.
          if (name.includes('publish') || name.includes('subscribe'))
            log.debug({ source: 'redis', error }, `Redis did not carry out ${name}`);
        });
      return reply;
    }
  };
}
