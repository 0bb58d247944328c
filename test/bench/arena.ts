// Owns where contests are held: replicas as production runs them, with a Postgres that keeps what it commits, and a Redis.
import { type Cluster, type ClusterOptions, openCluster } from '../support/cluster.ts';
import type { Stage } from './contest.ts';

/**
 * Settings are those that are shipped, but for what keeps one address from being a whole fleet. Lines go to standard
 * output from INFO on, as shipped.
 */
export async function openArena({ closing }: Stage, options: ClusterOptions): Promise<Cluster> {
  const { config, env, ...rest } = options;
  const limits = { requestsPerAddress: 0, requestsPerCaller: 0, handshakesPerAddress: 0 };
  return closing.use(
    await openCluster({
      ...rest,
      durable: true,
      env: { LOG_LEVEL: 'info', ...env },
      config: { ...config, limits: { ...limits, ...config?.limits } },
    }),
  );
}

/**
 * For `config.socket`: what a replica is shipped with paces those who connect, and bounds those who talk, on purpose. Here
 * it is to show what they cost.
 */
export const wideOpen = {
  connectionsPerSecond: 1_000_000,
  pendingHandshakes: 1_000_000,
  eventsPerSecond: 1_000_000,
};
