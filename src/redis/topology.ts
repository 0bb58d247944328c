// Owns how the one server is found that holds this controller's state, wherever Redis has put it: the only part that
// knows whether Redis is a single server, a master under sentinels or a cluster.
import type { Redis, RedisOptions } from 'ioredis';
import { z } from 'zod';
import { parseRedisUrl, type RedisNode } from './address.ts';
import { createMasterFinder, type Told } from './master.ts';

export interface Topology {
  /** For each client: whom to connect to. */
  readonly options: Omit<RedisOptions, 'replyMapping'>;
  /** Whether channels must be sharded ones, which stay with the keys of their hash tag. */
  readonly sharded: boolean;
  /** To be called now and then: lets go of connections to a server that lost its place without a word. Never rejects. */
  look(): Promise<void>;
  /** Asks nobody any more. */
  close(): void;
}

/**
 * @param options.key any key: all of this controller's are in one slot
 * @throws RedisUrlFault
 */
export function topologyOf(options: { url: string; key: string; timeoutMs: number }): Topology {
  const address = parseRedisUrl(options.url);
  const { nodes, tls } = address;
  const { timeoutMs } = options;
  const login = loginOf(address);
  // Empty: what Node trusts by itself, and NODE_EXTRA_CA_CERTS, and the name is checked.
  const secure = tls ? { tls: {} } : {};
  switch (address.kind) {
    case 'server':
      return {
        options: { ...nodes[0], ...login, ...secure, db: address.db },
        sharded: false,
        look: async () => undefined,
        close: () => undefined,
      };
    case 'sentinel': {
      const { Connector, look, close } = createMasterFinder({
        nodes,
        login: loginOf(address.sentinels),
        tls,
        timeoutMs,
        ask: (client, node) => askSentinel(client, node, address.master),
      });
      return { options: { ...login, ...secure, db: address.db, Connector }, sharded: false, look, close };
    }
    case 'cluster': {
      const ask = (client: Redis, node: RedisNode) => askNode(client, node, options.key);
      const { Connector, look, close } = createMasterFinder({ nodes, login, tls, timeoutMs, ask });
      return { options: { ...login, ...secure, Connector }, sharded: true, look, close };
    }
  }
}

/**
 * Whether an answer says that the server asked is not, or not alone, the one that holds the state any more. Nothing was
 * done then, and the client is to look for the right one.
 */
export function isElsewhere(error: Error): boolean {
  return /^(MOVED|CLUSTERDOWN|READONLY|UNBLOCKED) /.test(error.message);
}

function loginOf({ username, password }: { username?: string | undefined; password?: string | undefined }) {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}

const masterSchema = z.tuple([z.string(), z.coerce.number()]).nullable();
const sentinelsSchema = z.array(z.array(z.string()));

async function askSentinel(client: Redis, node: RedisNode, name: string): Promise<Told> {
  const [address, sentinels] = await Promise.all([
    client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name),
    client.call('SENTINEL', 'SENTINELS', name),
  ]);
  const found = masterSchema.parse(address);
  if (found === null) throw new Error(`the sentinel knows no master ${name}`);
  const [host, port] = found;
  const others = sentinelsSchema.parse(sentinels).flatMap((fields) => {
    const [ip, at] = ['ip', 'port'].map((field) => fields[fields.indexOf(field) + 1]);
    return ip === undefined || at === undefined || ip === '' ? [] : [{ host: ip, port: Number(at) }];
  });
  return { master: { host, port }, others: [node, ...others] };
}

/** Ranges, each as first slot, last slot, master, replicas …; what else a node says of itself is left out. */
const rangesSchema = z.array(
  z.tuple([z.number(), z.number()]).rest(z.tuple([z.string().nullable(), z.number()]).rest(z.unknown())),
);

async function askNode(client: Redis, node: RedisNode, key: string): Promise<Told> {
  const [slot, reply] = await Promise.all([client.cluster('KEYSLOT', key), client.cluster('SLOTS')]);
  const ranges = rangesSchema.parse(reply).map(([first, last, ...nodes]) => ({
    holds: first <= slot && slot <= last,
    // One that does not know its own name is the one that was asked.
    nodes: nodes.map(([host, port]) => ({ host: host === null || host === '' ? node.host : host, port })),
  }));
  const master = ranges.find((range) => range.holds)?.nodes[0];
  if (master === undefined) throw new Error(`slot ${slot} has no node`);
  return { master, others: ranges.flatMap((range) => range.nodes) };
}
