// Owns how a socket becomes a session: its handshake is looked at, committed, and welcomed.
import type { Socket } from 'socket.io';
import type { Clock } from '../clock.ts';
import type { Connections, LiveConnection, Opened } from '../fleet/connections.ts';
import { isoTime } from '../iso-time.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Frame } from '../queue/frame.ts';
import type { Owner } from '../redis/presence.ts';
import type { Admission } from './admission.ts';
import type { Identity } from './identity.ts';
import type { Notices } from './notices.ts';
import {
  busy,
  describeFaults,
  type Events,
  type Handshake,
  type HandshakeAck,
  type SocketError,
} from './protocol.ts';
import type { Provisions } from './provisions.ts';
import type { Session, Sessions } from './sessions.ts';
import { emitJson, sendTogether } from './write-once.ts';

export type Acknowledge = (answer: unknown) => void;

export interface ReceptionContext {
  readonly connections: Connections;
  readonly admission: Admission;
  readonly events: Pick<Events, 'handshake'>;
  readonly sessions: Sessions;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly nodeId: string;
  readonly heartbeatIntervalMs: number;
  /** Tells the other replicas that the connection of this epoch, which is one of this node, counts now. */
  announce(orchestratorId: string, epoch: number): void;
  /** Handles frames that waited for the orchestrator of this new session, oldest first. */
  forward(frames: readonly Frame[], session: Session): void;
  draining(): boolean;
  /** Keeps the stop of this replica waiting until this is written. */
  departing(written: Promise<void>): void;
  readonly log: Log;
}

/** The socket's, as far as a handshake has to do with it. */
export interface Visitor {
  readonly socket: Socket;
  readonly notices: Notices;
  readonly identity: Identity;
  readonly provisions: Provisions;
  /** The newest, once there is one. */
  readonly session: Session | undefined;
  /** A newer connection has taken this one's place. */
  readonly isSuperseded: boolean;
  /** Its handshake is one that counts: nobody waits for another. */
  introduced(): void;
  /** Makes this connection the socket's session. */
  begin(connection: LiveConnection): Session;
  leaveTo(owner: Owner): void;
  depart(): void;
}

/** @throws when what the handshake needs is away */
export async function receive(
  visitor: Visitor,
  payload: unknown,
  acknowledge: Acknowledge | undefined,
  context: ReceptionContext,
): Promise<void> {
  const { socket, notices, identity, session } = visitor;
  const { metrics, admission, sessions } = context;
  if (visitor.isSuperseded || socket.disconnected) return;
  const hello = context.events.handshake.safeParse(payload);
  if (!hello.success) {
    metrics.handshakes('invalid').inc();
    return notices.end({
      code: 'invalid_handshake',
      message: describeFaults(hello.error),
      retryable: false,
    });
  }
  const { orchestrator_id: id } = hello.data.data;
  if (session !== undefined && session.connection.orchestratorId !== id) {
    metrics.handshakes('invalid').inc();
    return notices.fail({
      code: 'identity_mismatch',
      message: `this connection is ${session.connection.orchestratorId}; ${id} needs one of its own`,
      retryable: false,
    });
  }
  const refusal = identity.refusal(id, organizationOf(hello.data, session));
  if (refusal !== undefined) {
    metrics.handshakes('forbidden').inc();
    return refuse(visitor, id, refusal, context.log);
  }
  if (context.draining()) {
    metrics.handshakes('draining').inc();
    notices.reconnect(spread());
    // One that has a connection keeps it until it has another.
    return session === undefined ? notices.hangUp() : undefined;
  }
  visitor.introduced();
  // A refresh waits on behalf of a connection that counts already.
  const place = session === undefined ? admission.enter() : undefined;
  if (place?.admitted === false) return notices.end(busy(place.retryAfterMs));
  const opened: Promise<void> = open(visitor, hello.data, acknowledge, {
    context,
    committed() {
      place?.leave();
      sessions.expect(id, opened);
    },
  });
  // A stop waits for it: what it commits must be undone or told.
  context.departing(opened);
  try {
    await opened;
  } finally {
    place?.leave();
  }
}

function refuse({ identity, notices, session }: Visitor, id: string, refusal: SocketError, log: Log): void {
  log.warn(
    { event: 'forbidden', orchestrator_id: id, sub: identity.subject },
    `[C-OCS] Handshake refused: ${refusal.message}`,
  );
  if (session === undefined) notices.end(refusal);
  else notices.fail(refusal);
}

/** A refresh that does not name one is no move. */
function organizationOf({ data }: Handshake, session: Session | undefined): string {
  return data.organization_id ?? session?.connection.entry.organization_id ?? data.orchestrator_id;
}

async function open(
  visitor: Visitor,
  { data }: Handshake,
  acknowledge: Acknowledge | undefined,
  { context, committed }: { context: ReceptionContext; committed(): void },
): Promise<void> {
  const { socket, identity, session: current } = visitor;
  const { connections, sessions, nodeId, log } = context;
  const { name, location, features } = data.metadata ?? {};
  const id = data.orchestrator_id;
  const organizationId = organizationOf({ data }, current);
  const hello = {
    orchestratorId: id,
    organizationId,
    name: name ?? undefined,
    location: location ?? undefined,
    features: features ?? undefined,
    metadata: data.metadata ?? undefined,
    current: current?.connection,
    mayJoin: (from: string | undefined) => identity.mayJoin(id, organizationId, from),
    wanted: () => socket.connected,
  };
  const opened = await connections.open(hello, committed);
  if (opened.kind === 'abandoned') return;
  if (opened.kind === 'foreign') return refuse(visitor, id, identity.refusalOfForeign(id), log);
  if (opened.kind === 'superseded') return visitor.leaveTo(opened.owner);
  const { connection, previous, parked } = opened;
  const repeated = visitor.session !== undefined;
  const session = visitor.begin(connection);
  const entered = sessions.enter(session);
  if (!entered.accepted) return visitor.leaveTo({ epoch: entered.newer.connection.epoch, nodeId });
  const owner = { epoch: connection.epoch, nodeId };
  if (!repeated) entered.older?.supersede(owner);
  // Without a previous owner there may still be one: Redis was away, or has lost it.
  if (previous === undefined || previous.nodeId !== nodeId)
    context.announce(connection.orchestratorId, connection.epoch);
  // Gone before it was welcomed: it has taken the place of an older connection all the same.
  if (socket.disconnected) return visitor.depart();
  welcome(visitor, opened, acknowledge, context);
  context.forward(parked, session);
}

function welcome(
  { socket, provisions }: Visitor,
  { connection, introduced }: Opened & { kind: 'opened' },
  acknowledge: Acknowledge | undefined,
  { nodeId, heartbeatIntervalMs, clock, log }: ReceptionContext,
): void {
  const id = connection.orchestratorId;
  const ack: HandshakeAck = {
    type: 'handshake_ack',
    orch_id: id,
    orchestrator_id: id,
    epoch: connection.epoch,
    node_id: nodeId,
    heartbeat_interval_ms: heartbeatIntervalMs,
    ts: isoTime(new Date(clock.now())),
  };
  log.info({ event: 'handshake', orchestrator_id: id }, `[C-OCS] Orchestrator ${id} connected`);
  sendTogether(socket, () => {
    acknowledge?.(ack);
    emitJson(socket, ack.type, JSON.stringify(ack));
    log.info({ event: 'handshake', orchestrator_id: id }, `[C-OCS] handshake_ack sent to ${id}`);
    provisions.first(id, introduced);
  });
}

/** When an orchestrator is to come back, ms: so that those who are asked at once do not come at once. */
export function spread(): number {
  return Math.round(Math.random() * 1_000);
}
