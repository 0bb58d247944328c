// Owns which orchestrators are connected to this replica: one session an id, the newest epoch.
import type { Emit } from '../fleet/arrivals.ts';
import type { LiveConnection } from '../fleet/connections.ts';
import type { Owner } from '../redis/presence.ts';
import type { SocketError } from './protocol.ts';

/** A connection whose handshake is committed. */
export interface Session {
  readonly connection: LiveConnection;
  readonly emit: Emit;
  /** Tells the orchestrator that a newer connection took over, and closes. */
  supersede(owner: Owner): void;
  /** Tells the orchestrator why, and closes. */
  end(error: SocketError): void;
  /**
   * Whether its token is of the organization that its row is in by now.
   * If not, tells the orchestrator why, and closes.
   */
  mayStay(): boolean;
  /**
   * Asks the orchestrator to come back after a while, to whichever replica. Its connection stays, so that there is one
   * at every moment, until the new one has taken over; then, or after `graceMs` more, it closes.
   */
  sendAway(afterMs: number, graceMs: number): void;
}

export interface Sessions {
  /** Makes this session its id's, unless a newer one is there; returns the one it takes the place of. */
  enter(
    session: Session,
  ): { accepted: true; older: Session | undefined } | { accepted: false; newer: Session };
  /** Takes out exactly this session. */
  leave(session: Session): void;
  get(orchestratorId: string): Session | undefined;
  /** Resolves when no committed handshake of this id is on its way to becoming a session. */
  settled(orchestratorId: string): Promise<void>;
  /** Keeps `settled` waiting until `opening` is. */
  expect(orchestratorId: string, opening: Promise<unknown>): void;
  all(): Session[];
  readonly size: number;
}

export function createSessions(): Sessions {
  const byId = new Map<string, Session>();
  const opening = new Map<string, Promise<unknown>>();

  return {
    enter(session) {
      const { orchestratorId, epoch } = session.connection;
      const other = byId.get(orchestratorId);
      if (other !== undefined && other !== session && other.connection.epoch > epoch)
        return { accepted: false, newer: other };
      byId.set(orchestratorId, session);
      return { accepted: true, older: other === session ? undefined : other };
    },
    leave(session) {
      const { orchestratorId } = session.connection;
      if (byId.get(orchestratorId) === session) byId.delete(orchestratorId);
    },
    get: (orchestratorId) => byId.get(orchestratorId),
    async settled(orchestratorId) {
      await opening.get(orchestratorId)?.catch(() => undefined);
    },
    expect(orchestratorId, promise) {
      const before = opening.get(orchestratorId);
      const all = before === undefined ? promise : Promise.allSettled([before, promise]);
      opening.set(orchestratorId, all);
      const done = () => {
        if (opening.get(orchestratorId) === all) opening.delete(orchestratorId);
      };
      all.then(done, done);
    },
    all: () => [...byId.values()],
    get size() {
      return byId.size;
    },
  };
}
