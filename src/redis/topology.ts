// Owns how the one server is found that holds this controller's state, wherever Redis has put it: the only part that
// knows whether Redis is a single server, a master under sentinels or a cluster.
import type { RedisOptions } from 'ioredis';
import { parseRedisUrl } from './address.ts';
import { explained, faultOfTls } from './certificate.ts';
import { connectorTo } from './slot-owner.ts';

export interface Topology {
  /** For each client: whom to connect to. Asked anew at every connection. */
  readonly options: Omit<RedisOptions, 'replyMapping'>;
  /** Whether channels must be sharded ones, which stay with the keys of their hash tag. */
  readonly sharded: boolean;
  /**
   * Whether an answer says that the server asked is not, or not alone, the one that holds the state any more. Nothing
   * was done then, and the client is to look for the right one.
   */
  isElsewhere(error: Error): boolean;
  /** A failure to connect, with the reason where ioredis keeps it to itself. Never rejects. */
  reasonOf(error: Error): Promise<Error>;
}

/** A sentinel that could not be reached is tried again so often as one to be told by. */
const sentinelRetryMs = 5_000;

/**
 * @param options.key any key: all of this controller's are in one slot
 * @throws RedisUrlFault
 */
export function topologyOf(options: { url: string; key: string; timeoutMs: number }): Topology {
  const address = parseRedisUrl(options.url);
  const { nodes, username, password } = address;
  const login = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
  // Empty: what Node trusts by itself, and NODE_EXTRA_CA_CERTS, and the name is checked.
  const tls = address.tls ? { tls: {} } : {};
  switch (address.kind) {
    case 'server':
      return {
        options: { ...nodes[0], ...login, ...tls, db: address.db },
        sharded: false,
        isElsewhere: (error) => /^READONLY /.test(error.message),
        reasonOf: async (error) => explained(error),
      };
    case 'sentinel': {
      const { sentinels } = address;
      return {
        options: {
          ...login,
          ...tls,
          db: address.db,
          sentinels: nodes.map((node) => ({ ...node })),
          name: address.master,
          ...(sentinels.username === undefined ? {} : { sentinelUsername: sentinels.username }),
          ...(sentinels.password === undefined ? {} : { sentinelPassword: sentinels.password }),
          ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
          sentinelCommandTimeout: options.timeoutMs,
          // A master that only the sentinels have lost goes on answering, and would be believed.
          failoverDetector: true,
          sentinelReconnectStrategy: () => sentinelRetryMs,
        },
        sharded: false,
        isElsewhere: (error) => /^(READONLY|UNBLOCKED) /.test(error.message),
        // Of a sentinel that it cannot reach it says no more than that.
        reasonOf: async (error) =>
          explained((address.tls ? await faultOfTls(nodes[0], options.timeoutMs) : undefined) ?? error),
      };
    }
    case 'cluster':
      return {
        options: { ...login, ...tls, Connector: connectorTo({ ...address, ...options }) },
        sharded: true,
        isElsewhere: (error) => /^(MOVED|CLUSTERDOWN|READONLY|UNBLOCKED) /.test(error.message),
        reasonOf: async (error) => explained(error),
      };
  }
}
