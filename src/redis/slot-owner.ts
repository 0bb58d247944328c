// Owns finding the master of one slot of a Redis Cluster. All keys of a controller are in one slot, so it needs one
// connection to one node, with the time-outs and retries of any other connection, and no client that spreads over many.
import { createConnection, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis';
import { z } from 'zod';
import type { RedisNode } from './address.ts';

interface Cluster {
  /** Those that are known from the start. */
  readonly nodes: readonly RedisNode[];
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly tls: boolean;
  readonly key: string;
  readonly timeoutMs: number;
}

const longestPauseMs = 500;
/** Ranges, each as first slot, last slot, master, replicas …; what else a node says of itself is left out. */
const rangesSchema = z.array(
  z.tuple([z.number(), z.number()]).rest(z.tuple([z.string().nullable(), z.number()]).rest(z.unknown())),
);
const infoSchema = z.looseObject({ role: z.string().optional() });

/**
 * @returns a class for ioredis's `Connector`, whose instances share what they learn of the cluster: once one is connected
 *   to another master the others let go of the old one, which may never say that it is gone
 */
export function connectorTo(cluster: Cluster): NonNullable<RedisOptions['Connector']> {
  let known: readonly RedisNode[] = cluster.nodes;
  let turn = 0;
  const streams = new Map<Socket, string>();

  function letGoOfAllBut(owner: string): void {
    for (const [stream, of] of streams) if (of !== owner) stream.destroy();
  }

  /** Each search begins with another node, so that one with an old view is not believed for ever. */
  function candidates(): RedisNode[] {
    turn += 1;
    const from = turn % known.length;
    const learnt = [...known.slice(from), ...known.slice(0, from)];
    const isLearnt = ({ host, port }: RedisNode) =>
      learnt.some((node) => node.host === host && node.port === port);
    return [...learnt, ...cluster.nodes.filter((node) => !isLearnt(node))];
  }

  async function findOwner(): Promise<RedisNode> {
    let reason: unknown;
    for (const node of candidates())
      try {
        return await askForOwner(node);
      } catch (error) {
        reason = error;
      }
    const why = reason instanceof Error ? reason.message : String(reason);
    throw new Error(`no node of the cluster says who has the slot; the last: ${why}`, { cause: reason });
  }

  async function askForOwner(node: RedisNode): Promise<RedisNode> {
    const client = new Redis({
      ...node,
      ...(cluster.username === undefined ? {} : { username: cluster.username }),
      ...(cluster.password === undefined ? {} : { password: cluster.password }),
      ...(cluster.tls ? { tls: {} } : {}),
      lazyConnect: true,
      enableReadyCheck: false,
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
      connectTimeout: cluster.timeoutMs,
      commandTimeout: cluster.timeoutMs,
      socketTimeout: cluster.timeoutMs,
    });
    // A connection that cannot be had tells why in an event only.
    let reason: Error | undefined;
    client.on('error', (error: Error) => {
      reason = error;
    });
    try {
      await client.connect();
      const [slot, reply] = await Promise.all([
        client.cluster('KEYSLOT', cluster.key),
        client.cluster('SLOTS'),
      ]);
      const ranges = rangesSchema.parse(reply).map(([first, last, ...nodes]) => ({
        holds: first <= slot && slot <= last,
        // A node that does not know its own name is the one that was asked.
        nodes: nodes.map(([host, port]) => ({ host: host === null || host === '' ? node.host : host, port })),
      }));
      const owner = ranges.find((range) => range.holds)?.nodes[0];
      if (owner === undefined) throw new Error(`slot ${slot} has no node`);
      known = ranges.flatMap((range) => range.nodes);
      return owner;
    } catch (error) {
      throw reason ?? error;
    } finally {
      client.disconnect();
    }
  }

  return class SlotOwnerConnector extends AbstractConnector {
    #searches = 0;
    #owner = '';

    constructor() {
      super(cluster.timeoutMs);
    }

    /** Of what the server said of itself: one that is a replica by now is not the one. */
    override check(info: unknown): boolean {
      const { role } = infoSchema.parse(info);
      if (role !== 'master') return false;
      letGoOfAllBut(this.#owner);
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
          const owner = await findOwner();
          if (!isWanted()) break;
          const stream = cluster.tls ? connectTls({ ...owner }) : createConnection({ ...owner });
          stream.once('error', (error) => {
            this.firstError = error;
          });
          this.#owner = `${owner.host}:${owner.port}`;
          streams.set(stream, this.#owner);
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
  };
}
