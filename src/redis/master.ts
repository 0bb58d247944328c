// Owns finding the server to connect to where others decide which it is: sentinels, or the nodes of a cluster. They are
// asked at every connection, and in between, since a server that lost its place may answer as if it had it.
import { createConnection, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis';
import { z } from 'zod';
import type { RedisNode } from './address.ts';

export interface Told {
  readonly master: RedisNode;
  /** Others who may be asked the next time. */
  readonly others: readonly RedisNode[];
}

interface Found {
  readonly master: RedisNode;
  /** Whether most of those who were asked say so. */
  readonly isSure: boolean;
}

export interface MasterFinder {
  /** For ioredis: its connections lead to the master. */
  readonly Connector: NonNullable<RedisOptions['Connector']>;
  /** Lets go of every connection to one that is, by the word of most, not the master any more. Never rejects. */
  look(): Promise<void>;
  /** Asks nobody any more. */
  close(): void;
}

const longestPauseMs = 500;
/** A cluster may have hundreds of nodes. */
const mostAsked = 5;
const infoSchema = z.looseObject({ role: z.string().optional() });

/**
 * ioredis has such a connector for sentinels, but it keeps to itself why one cannot be reached, and a failover that is
 * told while it connects ends its client for good. Its client for clusters spreads commands over all nodes, which is of
 * no use to who has all keys in one slot.
 * @param options.nodes those that are known from the start
 * @param options.login of those who are asked
 * @param options.ask asks one; throws where it does not know
 */
export function createMasterFinder(options: {
  nodes: readonly RedisNode[];
  login: { readonly username?: string; readonly password?: string };
  tls: boolean;
  timeoutMs: number;
  ask(client: Redis, node: RedisNode): Promise<Told>;
}): MasterFinder {
  const { tls, timeoutMs } = options;
  let learnt: readonly RedisNode[] = [];
  let turn = 0;
  let finding: Promise<Found> | undefined;
  let isClosed = false;
  /** Those who were asked last: asked again over the same connection, for as long as they answer. */
  const known = new Map<string, Redis>();
  const streams = new Map<Socket, string>();

  /** Each search begins with another, so that those who answer are found wherever they are in the list. */
  function candidates(): RedisNode[] {
    const all = new Map([...options.nodes, ...learnt].map((node) => [nameOf(node), node]));
    const list = [...all.values()];
    turn = (turn + 1) % list.length;
    return [...list.slice(turn), ...list.slice(0, turn)].slice(0, mostAsked);
  }

  /** Who asks while others do is told the same. */
  function find(): Promise<Found> {
    finding ??= findAnew().finally(() => {
      finding = undefined;
    });
    return finding;
  }

  /** One of them may have an old view: what most say counts, and else what more say than anything else. */
  async function findAnew(): Promise<Found> {
    const asked = candidates();
    const names = new Set(asked.map(nameOf));
    for (const [name, client] of known) if (!names.has(name)) client.disconnect();
    const votes = new Map<string, { master: RedisNode; count: number }>();
    const agreed = Promise.withResolvers<RedisNode>();
    let reason: unknown;
    const answers = asked.map(async (node) => {
      try {
        const { master, others } = await askOne(node);
        learnt = others;
        const vote = votes.get(nameOf(master)) ?? { master, count: 0 };
        vote.count += 1;
        votes.set(nameOf(master), vote);
        if (vote.count * 2 > asked.length) agreed.resolve(master);
      } catch (error) {
        reason = error;
      }
    });
    const all = Promise.all(answers).then(() => undefined);
    const sure = await Promise.race([agreed.promise, all]);
    if (sure !== undefined) return { master: sure, isSure: true };
    const [most] = [...votes.values()].sort((a, b) => b.count - a.count);
    if (most !== undefined) return { master: most.master, isSure: most.count * 2 > asked.length };
    const why = reason instanceof Error ? reason.message : String(reason);
    throw new Error(`nobody says which server is the master; the last: ${why}`, { cause: reason });
  }

  async function askOne(node: RedisNode): Promise<Told> {
    const client = known.get(nameOf(node)) ?? acquaint(node);
    // A connection that cannot be had tells why in an event only.
    let reason: Error | undefined;
    const hear = (error: Error) => {
      reason = error;
    };
    client.on('error', hear);
    try {
      return await options.ask(client, node);
    } catch (error) {
      client.disconnect();
      throw reason ?? error;
    } finally {
      client.off('error', hear);
    }
  }

  function acquaint(node: RedisNode): Redis {
    if (isClosed) throw new Error('Connection is closed.');
    const client = new Redis({
      ...node,
      ...options.login,
      ...(tls ? { tls: {} } : {}),
      enableReadyCheck: false,
      retryStrategy: () => null,
      connectTimeout: timeoutMs,
      commandTimeout: timeoutMs,
      socketTimeout: timeoutMs,
    });
    // Who asks hears of it.
    client.on('error', () => undefined);
    client.once('end', () => known.delete(nameOf(node)));
    known.set(nameOf(node), client);
    return client;
  }

  function letGoOfAllBut(master: string): void {
    for (const [stream, of] of streams) if (of !== master) stream.destroy();
  }

  return {
    async look() {
      // Nobody is connected, or somebody asks already.
      if (streams.size === 0 || finding !== undefined) return;
      const found = await find().catch(() => undefined);
      if (found?.isSure) letGoOfAllBut(nameOf(found.master));
    },
    close() {
      isClosed = true;
      for (const client of known.values()) client.disconnect();
    },
    Connector: class MasterConnector extends AbstractConnector {
      #searches = 0;
      #master = '';

      constructor() {
        super(timeoutMs);
      }

      /** Of what the server said of itself: one that is a replica by now is not the one. */
      override check(info: unknown): boolean {
        const { role } = infoSchema.parse(info);
        if (role !== 'master') return false;
        letGoOfAllBut(this.#master);
        return true;
      }

      /** Never rejects while it is wanted: ioredis would give the client up. */
      override async connect(emit: (type: string, error: Error) => void) {
        this.connecting = true;
        this.#searches += 1;
        const search = this.#searches;
        const isWanted = () => this.connecting && this.#searches === search;
        for (let attempt = 1; isWanted(); attempt += 1)
          try {
            const { master } = await find();
            if (!isWanted()) break;
            const stream = tls ? connectTls({ ...master }) : createConnection({ ...master });
            stream.once('error', (error) => {
              this.firstError = error;
            });
            this.#master = nameOf(master);
            streams.set(stream, this.#master);
            stream.once('close', () => streams.delete(stream));
            this.stream = stream;
            return stream;
          } catch (error) {
            if (!isWanted()) break;
            emit('error', error instanceof Error ? error : new Error(String(error)));
            await pause(Math.min(attempt * 50, longestPauseMs));
          }
        throw new Error('Connection is closed.');
      }
    },
  };
}

function nameOf({ host, port }: RedisNode): string {
  return `${host}:${port}`;
}
