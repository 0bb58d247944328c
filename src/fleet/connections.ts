// Owns what a connection means: a handshake makes it count, a disconnect ends that, an epoch says which is newer.
import { reasonOf, reportRetries } from '../availability.ts';
import { createBatcher } from '../batcher.ts';
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { verdictOn } from '../database/failures.ts';
import { OrchestratorInstance } from '../database/orchestrator-instances.ts';
import { type Connection, findSpokenFor, writeDisconnects } from '../database/statements/disconnects.ts';
import {
  type HandshakeOutcome,
  type Introduced,
  type Introduction,
  writeHandshakes,
} from '../database/statements/handshakes.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { type Frame, readFrame } from '../queue/frame.ts';
import type { Lease } from '../redis/lease.ts';
import type { PresenceEntry } from '../redis/live-list.ts';
import type { Owner, Presence } from '../redis/presence.ts';
import { createReturns } from './returns.ts';

/** What an orchestrator says of itself; what is absent stays as the row has it. */
export interface Hello {
  orchestratorId: string;
  organizationId: string;
  name: string | undefined;
  location: string | undefined;
  features: unknown;
  metadata: Record<string, unknown> | undefined;
  /** The connection that the same socket already is. */
  current: LiveConnection | undefined;
  /** Whether it may be of that organization, when it is of this one so far (undefined: it is new). */
  mayJoin(from: string | undefined): boolean;
  /** Whether the socket is still there. */
  wanted(): boolean;
}

/** A connection of this replica that counts. */
export interface LiveConnection {
  orchestratorId: string;
  epoch: number;
  entry: PresenceEntry;
  lastSeenMs: number;
}

export type Opened =
  | {
      kind: 'opened';
      connection: LiveConnection;
      introduced: Introduced;
      /** The connection that counted before, if it is not known to have ended. */
      previous: Owner | undefined;
      /** Frames that waited for this orchestrator, oldest first. */
      parked: Frame[];
    }
  | { kind: 'superseded'; owner: Owner }
  /** The socket was gone before anything was written. */
  | { kind: 'abandoned' }
  /** It may not be of the organization that it names: nothing was written. */
  | { kind: 'foreign' };

/** What is asked, and told, of the connections whose presence is restored. */
export interface Found {
  /** Whether this connection has not ended meanwhile. */
  stillThere(connection: LiveConnection): boolean;
  superseded(connection: LiveConnection, owner: Owner): void;
  /** It was to be closed for its silence, and nobody could tell this replica. */
  silent(connection: LiveConnection): void;
  /** Frames that waited for this orchestrator while it seemed to be nowhere, oldest first. */
  parked(frames: Frame[]): void;
}

export interface Connections {
  /**
   * Commits both rows and makes the connection the one that counts. While Postgres is away it waits.
   * @param committed told when the rows are written: from then on frames may be routed to this connection
   */
  open(hello: Hello, committed: () => void): Promise<Opened>;
  /**
   * Ends the presence of a connection that a newer one has taken the place of. Where Redis knows of the newer one this
   * changes nothing.
   */
  yieldPlace(connection: Connection): Promise<void>;
  /**
   * Ends the presence, and writes `inactive` once its last heartbeats are written, which would otherwise make the
   * row active again. Returns false, and changes nothing, if a newer connection counts.
   */
  close(connection: Connection, lastBeats: Promise<unknown>): Promise<boolean>;
  /**
   * Brings the presence of one connection in line with its row, which a registration has changed.
   * @param stillThere whether this connection has not ended meanwhile
   * @returns frames that waited for the orchestrator, oldest first
   * @throws when a store is away
   */
  refresh(connection: LiveConnection, stillThere: Found['stillThere']): Promise<Frame[]>;
  /**
   * Brings this replica's presence in Redis in line with its sockets, after Redis was away or lost its data, or this
   * replica was paused and taken for dead. Rows that were turned inactive meanwhile become active again once Postgres
   * answers, which is not waited for.
   * @param local asked for the connections of this replica
   * @param found told what became of each
   */
  restore(local: () => LiveConnection[], found: Found): Promise<void>;
  /**
   * Behind a loss of Redis's data absence means nothing until every replica has registered its connections: says so to
   * the cluster, if all by whose word an orchestrator is active have. Never throws: then it shows by itself, a lease on.
   */
  settle(): Promise<void>;
  idle(): Promise<void>;
  abandon(reason: Error): void;
}

/** Commands under way to Redis at once, so that ten thousand do not outwait their time-out together. */
const chunkSize = 200;

export function createConnections(dependencies: {
  database: Database;
  presence: Presence;
  lease: Lease;
  clock: Clock;
  nodeId: string;
  /** The silence after which a connection is closed. */
  inactiveAfterMs: number;
  metrics: Metrics;
  log: Log;
}): Connections {
  const { database, presence, lease, clock, nodeId, metrics, log } = dependencies;

  const handshakes = createBatcher<Introduction, HandshakeOutcome>({
    flush: (batch) => writeHandshakes(database.batches, batch),
    onFailure: verdictOn,
    onRetry: reportRetries(log, 'connections', 'handshakes'),
    watch: metrics.batch('handshakes'),
  });

  const disconnects = createBatcher<Connection, boolean>({
    async flush(batch) {
      const gone = new Set(
        (await writeDisconnects(database.batches, batch)).map((connection) => connection.orchestratorId),
      );
      return batch.map((connection) => gone.has(connection.orchestratorId));
    },
    // Of two epochs of one id only the newer can still be the row's.
    merge: (older, newer) => (older.epoch > newer.epoch ? older : newer),
    onFailure: verdictOn,
    onRetry: reportRetries(log, 'connections', 'disconnects'),
    watch: metrics.batch('disconnects'),
  });

  async function release({ orchestratorId, epoch }: Connection): Promise<boolean> {
    try {
      return await presence.release(orchestratorId, epoch);
    } catch (error) {
      // What stays in Redis is under this node's name: the next registration, or the sweep, clears it.
      lease.invalidate();
      log.debug({ source: 'connections', error }, `Presence of ${orchestratorId} was not released`);
      return false;
    }
  }

  async function claimFor(connection: LiveConnection, stillThere: Found['stillThere']) {
    const claim = await presence.claim(connection.orchestratorId, connection);
    // It may have ended while the claim was on its way, and its release have gone before.
    if (claim.accepted && !stillThere(connection))
      await presence.release(connection.orchestratorId, connection.epoch);
    return claim;
  }

  const returns = createReturns({
    ...dependencies,
    disconnected: (connection) => disconnects.add(connection.orchestratorId, connection),
  });

  async function open({ current, ...hello }: Hello, committed: () => void): Promise<Opened> {
    const { orchestratorId } = hello;
    const at = new Date(clock.now());
    const introduced = await handshakes.add(orchestratorId, {
      ...hello,
      epoch: current?.epoch,
      nodeId,
      at,
    });
    if (introduced.kind === 'abandoned' || introduced.kind === 'foreign') return introduced;
    if (introduced.kind === 'superseded') return { kind: 'superseded', owner: introduced };
    committed();
    log.info(
      { event: 'handshake', orchestrator_id: orchestratorId },
      `[C-OCS] DB: Registered ${orchestratorId} in both tables`,
    );
    const connection: LiveConnection = {
      orchestratorId,
      epoch: introduced.epoch,
      entry: {
        organization_id: introduced.organizationId,
        name: introduced.name,
        connected_at: current?.entry.connected_at ?? at.toISOString(),
        metadata: introduced.metadata,
      },
      lastSeenMs: at.getTime(),
    };
    try {
      const claim = await presence.claim(orchestratorId, connection);
      if (!claim.accepted) return { kind: 'superseded', owner: claim.owner };
      return {
        kind: 'opened',
        connection,
        introduced,
        previous: claim.previous,
        parked: claim.parked.map(readFrame),
      };
    } catch (error) {
      // The row is committed and its epoch fences older connections; presence follows when Redis is back.
      lease.invalidate();
      log.warn(
        { event: 'handshake', orchestrator_id: orchestratorId, reason: reasonOf(error) },
        `Presence of ${orchestratorId} could not be written; it will be once Redis is back`,
      );
      return { kind: 'opened', connection, introduced, previous: undefined, parked: [] };
    }
  }

  return {
    async open(hello, committed) {
      const startedAt = performance.now();
      try {
        const opened = await open(hello, () => {
          metrics.handshakeSeconds.observe((performance.now() - startedAt) / 1_000);
          committed();
        });
        const refreshed = opened.kind === 'opened' && hello.current !== undefined;
        metrics.handshakes(refreshed ? 'refreshed' : opened.kind).inc();
        return opened;
      } catch (error) {
        metrics.handshakes('failed').inc();
        throw error;
      }
    },

    async yieldPlace(connection) {
      await release(connection);
    },

    async close(connection, lastBeats) {
      // The row may say so already: the sweep has found it silent, or it was deregistered.
      const [written, released] = await Promise.all([
        lastBeats.then(() => disconnects.add(connection.orchestratorId, connection)),
        release(connection),
      ]);
      return written || released;
    },

    async refresh(connection, stillThere) {
      const { orchestratorId } = connection;
      const row = await database
        .fork()
        .findOne(OrchestratorInstance, { orchestratorId }, { fields: ['name', 'organization'] });
      if (row === null || !stillThere(connection)) return [];
      const organization_id = row.organization.organizationId;
      connection.entry = { ...connection.entry, organization_id, name: row.name };
      const claim = await claimFor(connection, stillThere);
      return claim.accepted ? claim.parked.map(readFrame) : [];
    },

    async restore(local, found) {
      const held = await presence.heldHere();
      // A turn of the event loop, so that a claim answered before this list is among the local connections.
      await new Promise(setImmediate);
      const connections = local();
      const known = new Set(connections.map((connection) => connection.orchestratorId));
      const stale = held.filter((id) => !known.has(id));
      const owners = await presence.owners(stale);
      await inChunks(stale, async (id, at) => {
        const owner = owners[at];
        if (owner?.nodeId === nodeId) await presence.release(id, owner.epoch);
      });
      await inChunks(connections, async (connection) => {
        if (!found.stillThere(connection)) return;
        const claim = await claimFor(connection, found.stillThere);
        if (!claim.accepted) found.superseded(connection, claim.owner);
        else if (claim.parked.length > 0) found.parked(claim.parked.map(readFrame));
      });
      returns.bringBack(connections, found);
      if (connections.length > 0)
        log.info({ event: 'presence' }, `Presence of ${connections.length} orchestrators registered`);
    },

    async settle() {
      try {
        await presence.settleWhole(await findSpokenFor(database.query));
      } catch (error) {
        log.debug({ source: 'connections', error }, 'Whether presence is whole could not be looked up');
      }
    },

    async idle() {
      await Promise.all([handshakes.idle(), returns.idle()]);
      // A return may have ended in a disconnect.
      await disconnects.idle();
    },
    abandon(reason) {
      handshakes.abandon(reason);
      returns.abandon(reason);
      disconnects.abandon(reason);
    },
  };
}

async function inChunks<T>(all: readonly T[], work: (item: T, at: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < all.length; from += chunkSize) {
    await Promise.all(all.slice(from, from + chunkSize).map((item, at) => work(item, from + at)));
  }
}
