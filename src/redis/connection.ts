// Owns the connections to Redis: which kinds there are and how each behaves while Redis is away.
import { Redis, type RedisOptions } from 'ioredis';
import { createAvailability } from '../availability.ts';
import type { Log } from '../log.ts';
import { explained } from './certificate.ts';
import { createKeys } from './keys.ts';
import { createListening } from './listening.ts';
import { isElsewhere, topologyOf } from './topology.ts';

export interface RedisConnections {
  /** For commands: fails within the command time-out while Redis is away, so that a caller gets its 503. */
  readonly commands: Redis;
  /** A connection of one's own, for subscriptions and queues: waits out an outage. */
  patient(purpose: string): Redis;
  /** The same for a library that does not look at what becomes of its commands: a failure is only logged. */
  unattended(purpose: string): Redis;
  /** Whether channels must be sharded ones (SPUBLISH, SSUBSCRIBE). */
  readonly sharded: boolean;
  /** Resolves once Redis is connected to, or known to be away for now. */
  tried(): Promise<void>;
  /** Resolves when the server that holds this controller's state answers. */
  ping(): Promise<void>;
  /** Ends every connection, the copies that libraries made of theirs too; none is opened from then on. */
  close(): Promise<void>;
}

type RedisClass = new (options: RedisOptions) => Redis;

const longestReconnectPauseMs = 500;
/** A connection that lasted so long was of use, and the next is had without delay. */
const lastingMs = 5_000;
/**
 * A connection that the network lost says nothing, and TCP takes a quarter of an hour to find out: one that is owed an
 * answer and hears nothing is opened anew, after the command time-out, or after this where the worker of a queue may
 * block for ten seconds by itself.
 */
const blockedWithinMs = 12_000;
/** A connection that only listens is owed nothing: it is asked something this often. */
const askEveryMs = 2_000;
/** Behind a failover in good order the old master goes on for seconds, and does not know. */
const lookEveryMs = 500;

/**
 * Opens the connections lazily: a Redis that is down now is an error of the call that needs it, not of this.
 * @param options.url see parseRedisUrl
 * @param options.prefix of the keys, which says where in a cluster they are
 * @throws RedisUrlFault
 */
export function openRedis(options: {
  url: string;
  prefix: string;
  commandTimeoutMs: number;
  log: Log;
}): RedisConnections {
  const key = createKeys(options.prefix).born;
  const topology = topologyOf({ ...options, key, timeoutMs: options.commandTimeoutMs });
  const opened: Redis[] = [];
  const timers: NodeJS.Timeout[] = [setInterval(() => void topology.look(), lookEveryMs)];
  const availability = createAvailability('Redis', options.log);
  let closing = false;

  /**
   * A library that connects again while it closes, as BullMQ's worker does behind a stall of the process, would leave a
   * connection that is nobody's.
   */
  const owned = (Client: RedisClass): RedisClass =>
    class OwnedRedis extends Client {
      constructor(connection: RedisOptions) {
        super(connection);
        opened.push(this);
      }

      override duplicate(override?: Partial<RedisOptions>): Redis {
        return new OwnedRedis({ ...this.options, ...override });
      }

      override connect(): Promise<void> {
        // In the words that ioredis has for it, by which libraries know it.
        return closing ? Promise.reject(new Error('Connection is closed.')) : super.connect();
      }
    };

  const OwnedRedis = owned(Redis);

  function open(
    purpose: string,
    bounded: boolean,
    Client = OwnedRedis,
    silenceMs = options.commandTimeoutMs,
  ): Redis {
    const client = new Client({
      ...topology.options,
      connectionName: `moolai-controller:${purpose}`,
      connectTimeout: options.commandTimeoutMs,
      enableOfflineQueue: !bounded,
      // BullMQ insists on null for connections that block.
      maxRetriesPerRequest: bounded ? 0 : null,
      socketTimeout: silenceMs,
      ...(bounded ? { commandTimeout: options.commandTimeoutMs, autoResendUnfulfilledCommands: false } : {}),
      retryStrategy: createPauses(),
      reconnectOnError: (error) => {
        if (!isElsewhere(error)) return false;
        if (bounded && !closing) availability.failed(error);
        // One that does not look at what becomes of its commands has them sent again, to the right server.
        return Client === OwnedRedis ? 1 : 2;
      },
    });
    client.on('error', (error: Error) => {
      // ioredis would go on in database 0, which may be another controller's.
      if (isOfDatabase(error)) client.disconnect(true);
      if (bounded) availability.failed(explained(error));
    });
    client.on('close', () => {
      if (bounded && !closing) availability.failed(new Error('the connection was closed'));
    });
    client.on('ready', () => {
      if (bounded) void tellOfReturn(client);
    });
    return client;
  }

  /** A server that takes connections, and then refuses the work, is not back. */
  async function tellOfReturn(client: Redis): Promise<void> {
    const askedAtMs = performance.now();
    try {
      const [replication] = await Promise.all([client.info('replication'), ask(client)]);
      if (!/^role:slave/m.test(replication)) availability.answered(askedAtMs);
    } catch {
      // That it is away has been told.
    }
  }

  const ListeningRedis = owned(createListening(options.log));

  function listen(purpose: string): Redis {
    const client = open(purpose, false, ListeningRedis);
    const asking = setInterval(() => {
      // What becomes of the connection is for its time-out to say.
      if (client.status === 'ready') ask(client).catch(() => undefined);
    }, askEveryMs);
    timers.push(asking);
    return client;
  }

  /** A replica answers PING as well: which server has a key is known only to who is asked for one. */
  const ask = (client: Redis) => (topology.sharded ? client.exists(key) : client.ping());

  const commands = open('commands', true);
  return {
    commands,
    sharded: topology.sharded,
    patient: (purpose) => open(purpose, false, OwnedRedis, blockedWithinMs),
    unattended: listen,
    async tried() {
      if (commands.status === 'ready') return;
      await new Promise<void>((resolve) => {
        for (const event of ['ready', 'error', 'end'] as const) commands.once(event, () => resolve());
      });
    },
    async ping() {
      await ask(commands);
    },
    async close() {
      closing = true;
      for (const timer of timers) clearInterval(timer);
      for (const client of opened.reverse()) client.disconnect();
      topology.close();
    },
  };
}

/** Whether Redis does not have the database that REDIS_URL names, or not for us. */
function isOfDatabase(error: Error): boolean {
  return /^ERR (?:invalid )?DB index |^(?:ERR|NOPERM) .*\bselect\b/i.test(error.message);
}

/**
 * How long to wait before each connection: longer from one to the next. ioredis counts from the start again with each
 * that is made, also where the server then refuses the work, as a replica does and a cluster that is not whole.
 */
function createPauses(): () => number {
  let inARow = 0;
  let lastAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = performance.now();
    inARow = nowMs - lastAtMs < lastingMs ? inARow + 1 : 1;
    lastAtMs = nowMs;
    return Math.min(inARow * 50, longestReconnectPauseMs);
  };
}
