// Owns every key in Redis: its shape and its expiry. All share one hash tag, so that a script may touch several.

export interface Keys {
  /** Sorted set: node_id → when its lease ends, ms by Redis's clock. No expiry; the sweep removes dead nodes. */
  readonly nodes: string;
  /** String: there while the presence in a new data set may lack whole replicas. Expires after one lease. */
  readonly incomplete: string;
  /** String: when this data set began, ms by Redis's clock. Gone when Redis comes back empty. No expiry. */
  readonly born: string;
  /** String: run id of the server to which replicas register their presence. Another one is behind a failover. No expiry. */
  readonly server: string;
  /** Hash: started_at, draining, registered (the server that its presence is whole on). Expires with the node's lease. */
  node(nodeId: string): string;
  /** Hash: orchestrator_id → `{epoch} {node_id}`, the connection that counts. No expiry; the sweep clears. */
  readonly owners: string;
  /** Hash: orchestrator_id → PresenceEntry as JSON, written by that node alone. No expiry; the sweep clears. */
  presence(nodeId: string): string;
  /** Sorted set: orchestrator_id → last heartbeat, ms. Goes with the owner's entry. */
  readonly lastSeen: string;
  /**
   * Stream: what changed in the three above. `id` → one orchestrator's entry, `seen` → `{ms} {orchestrator_id} …`, heartbeats;
   * `all` → more than is named. Trimmed by time, with each renewal of a lease.
   */
  readonly changes: string;
  /** List: frames for an orchestrator between two connections whose sender is gone. Expires with the last deadline. */
  parked(orchestratorId: string): string;
  /** String: heartbeats processed within one ten-second bucket of the cluster. Expires after two minutes. */
  beats(bucket: number): string;
  /** String: there while nobody's silence counts, because Postgres was away. Expires by itself. */
  readonly silenceExcused: string;
  /** Prefix of strings, before `:{address or caller}`: how often within one window. Expire with it. */
  limit(of: 'address' | 'caller' | 'handshakes'): string;
  /**
   * Stream: the cluster's log lines, many in an entry, whose id is `{number of its last line}-{number of the write}`. Capped
   * by the number of lines: some more than count are there.
   */
  readonly logs: string;
  /** String: the number of the newest log line. The next ones count on from it. No expiry. */
  readonly newestLog: string;
  /** Stream: those lines that are of the audit, one in an entry, under their own numbers, capped by a length of its own. */
  readonly audit: string;
  /** String: number of the newest write to both by one writer of lines. Expires ten minutes after it. */
  written(writer: string): string;
  /** Channel: outcomes of the frames that a replica sent. */
  outcomes(nodeId: string): string;
  /** Channel prefix of Socket.IO's adapter. */
  readonly adapter: string;
  /** Key prefix of BullMQ. */
  readonly queues: string;
}

export function createKeys(prefix: string): Keys {
  const root = `{${prefix}}`;
  return {
    nodes: `${root}:nodes`,
    incomplete: `${root}:incomplete`,
    born: `${root}:born`,
    server: `${root}:server`,
    node: (nodeId) => `${root}:node:${nodeId}`,
    owners: `${root}:owners`,
    presence: (nodeId) => `${root}:presence:${nodeId}`,
    lastSeen: `${root}:last_seen`,
    changes: `${root}:changes`,
    parked: (orchestratorId) => `${root}:parked:${orchestratorId}`,
    beats: (bucket) => `${root}:beats:${bucket}`,
    silenceExcused: `${root}:silence_excused`,
    limit: (of) => `${root}:limit:${of}`,
    logs: `${root}:lines`,
    newestLog: `${root}:newest_line`,
    audit: `${root}:audited`,
    written: (writer) => `${root}:written:${writer}`,
    outcomes: (nodeId) => `${root}:outcomes:${nodeId}`,
    adapter: `${root}:adapter`,
    queues: `${root}:queues`,
  };
}
