// Owns who is at the other end of a socket: let in by its token, only ever itself, and gone when the token ends.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'socket.io';
import { type Caller, may } from '../access/caller.ts';
import type { Tokens } from '../access/tokens.ts';
import type { Clock } from '../clock.ts';
import { asFleetError, type FleetError } from '../fleet/errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { createPacedWarning } from '../paced-warning.ts';
import { covers } from '../scope.ts';
import type { Notices } from './notices.ts';
import type { RefreshTokenAck, SocketError } from './protocol.ts';
import type { Session } from './sessions.ts';

/** Addresses are written to logs by whoever passes them on: a token must not be in one. */
const queryNames = ['token', 'access_token', 'authorization', 'auth'];
/** The longest that a timer can be set to. */
const longestTimerMs = 2 ** 31 - 1;

/**
 * As a middleware of Socket.IO: takes `auth: { token }` of the connection. Who is refused gets a `connect_error` whose
 * `data` is an error of the protocol, and is hung up on.
 */
export function createIdentification(dependencies: {
  tokens: Tokens;
  addressOf(request: IncomingMessage): string;
  metrics: Metrics;
  log: Log;
}) {
  const { tokens, addressOf, metrics, log } = dependencies;
  const warnOfStranger = createPacedWarning({ log, event: 'unauthorized' });

  async function identify(socket: Socket): Promise<SocketError | undefined> {
    const { query, auth, headers } = socket.handshake;
    if (queryNames.some((name) => query[name] !== undefined))
      return unauthorized('the token belongs into `auth`, not into the address');
    const refusal = tokens.refuseRemote(headers);
    if (refusal !== undefined) return { code: 'forbidden', message: refusal, retryable: false };
    const token: unknown = auth.token;
    if (token !== undefined && typeof token !== 'string') return unauthorized('the token must be a text');
    try {
      const caller = await tokens.identify(token);
      if (!may(caller, 'connect'))
        return forbidden(`this needs the role orchestrator; the token has ${caller.role}`);
      socket.data.caller = caller;
      return undefined;
    } catch (error) {
      return asSocketError(error);
    }
  }

  return (socket: Socket, next: (error?: Error & { data?: SocketError }) => void): void => {
    void identify(socket).then((refusal) => {
      if (refusal === undefined) return next();
      warnOfStranger(
        { event: refusal.code, source: 'socket', address: addressOf(socket.request) },
        `[C-OCS] WebSocket connection refused: ${refusal.message}`,
        refusal.message,
      );
      metrics.refusedConnections.inc({ reason: refusal.code });
      next(Object.assign(new Error(refusal.message), { data: refusal }));
      // Behind what it was told.
      setImmediate(() => socket.conn.close());
    });
  };
}

export interface Identity {
  readonly subject: string;
  /**
   * Whether that orchestrator may be of that organization, when it is of `from` so far (undefined: it is new). One whose
   * token names organizations comes from one of them, or from none; one whose token names none may be of its own, or
   * stay where it was registered.
   */
  mayJoin(orchestratorId: string, organizationId: string, from: string | undefined): boolean;
  /** Why this socket may not be that orchestrator of that organization; undefined: it may. */
  refusal(orchestratorId: string, organizationId: string): SocketError | undefined;
  /**
   * Whether this socket may still be that orchestrator, which was moved to that organization.
   * If not, it is told why, and hung up on.
   */
  stays(orchestratorId: string, organizationId: string): boolean;
  /** Why this socket may not be that orchestrator, which belongs to an organization that its token is not of. */
  refusalOfForeign(orchestratorId: string): SocketError;
  /**
   * Goes on with another token, which must be for the same orchestrator; says so if it is not taken.
   * @returns what is acknowledged; undefined if it is not taken
   */
  renew(token: string, session: Session): Promise<RefreshTokenAck | undefined>;
  /** The socket is gone. */
  forget(): void;
}

interface IdentityContext {
  readonly tokens: Tokens;
  readonly clock: Clock;
  /** How long before its token ends an orchestrator is told, at most half of what is left. */
  readonly expiryNoticeMs: number;
  readonly log: Log;
}

export function createIdentity(socket: Socket, notices: Notices, context: IdentityContext): Identity {
  return new SocketIdentity(socket, notices, context);
}

class SocketIdentity implements Identity {
  readonly #socket: Socket;
  readonly #notices: Notices;
  readonly #context: IdentityContext;
  #caller: Caller;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, notices: Notices, context: IdentityContext) {
    const caller: Caller | undefined = socket.data.caller;
    if (caller === undefined) throw new Error('a socket came past the gate');
    this.#socket = socket;
    this.#notices = notices;
    this.#context = context;
    this.#caller = caller;
    this.#watch();
  }

  get subject(): string {
    return this.#caller.subject;
  }

  mayJoin(orchestratorId: string, organizationId: string, from: string | undefined): boolean {
    const { role, scope } = this.#caller;
    if (role === 'anyone') return true;
    if (scope !== undefined) return from === undefined || covers(scope, from);
    return organizationId === orchestratorId || organizationId === from;
  }

  refusal(orchestratorId: string, organizationId: string): SocketError | undefined {
    return refusalOf(this.#caller, orchestratorId, organizationId);
  }

  stays(orchestratorId: string, organizationId: string): boolean {
    const { log } = this.#context;
    const refusal = this.refusal(orchestratorId, organizationId);
    if (refusal === undefined) return true;
    log.warn(
      { event: 'forbidden', orchestrator_id: orchestratorId, sub: this.subject },
      `[C-OCS] Connection of ${orchestratorId} ended: ${refusal.message}`,
    );
    this.#notices.end(this.refusalOfForeign(orchestratorId));
    return false;
  }

  /** Which organization that is, is not told. */
  refusalOfForeign(orchestratorId: string): SocketError {
    const { scope, subject } = this.#caller;
    return forbidden(
      scope === undefined
        ? `the token of ${subject} names no organization: ${orchestratorId} may be of its own, or of the one it is registered in`
        : `the token of ${subject} does not name the organization of orchestrator ${orchestratorId}`,
    );
  }

  async renew(token: string, { connection }: Session): Promise<RefreshTokenAck | undefined> {
    const { clock, log } = this.#context;
    const { orchestratorId: id, entry } = connection;
    const taken = await this.#take(token, id, entry.organization_id);
    if (taken !== undefined) {
      log.warn(
        { event: taken.code, orchestrator_id: id },
        `[C-OCS] Token of ${id} not renewed: ${taken.message}`,
      );
      this.#notices.fail(taken);
      return undefined;
    }
    log.info({ event: 'refresh_token', orchestrator_id: id }, `[C-OCS] Token of ${id} renewed`);
    const { expiresAtMs } = this.#caller;
    return {
      type: 'refresh_token_ack',
      expires_at: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString(),
      ts: new Date(clock.now()).toISOString(),
    };
  }

  forget(): void {
    clearTimeout(this.#timer);
  }

  #watch(): void {
    const { clock, expiryNoticeMs, log } = this.#context;
    clearTimeout(this.#timer);
    const { expiresAtMs, subject } = this.#caller;
    if (expiresAtMs === undefined) return;
    const leftMs = expiresAtMs - clock.now();
    this.#at(expiresAtMs - Math.min(expiryNoticeMs, leftMs / 2), () => {
      this.#notices.fail(expired('is about to expire', Math.max(0, expiresAtMs - clock.now())));
      this.#at(expiresAtMs, () => {
        log.warn(
          { event: 'token_expired', source: 'socket', sub: subject },
          `[C-OCS] Connection of ${subject} ended: its token has expired`,
        );
        this.#notices.end(expired('has expired'));
      });
    });
  }

  #at(dueMs: number, act: () => void): void {
    const leftMs = dueMs - this.#context.clock.now();
    this.#timer =
      leftMs > longestTimerMs
        ? setTimeout(() => this.#at(dueMs, act), longestTimerMs)
        : setTimeout(act, Math.max(0, leftMs));
  }

  /** @returns why the token is not taken */
  async #take(token: string, id: string, organizationId: string): Promise<SocketError | undefined> {
    let next: Caller;
    try {
      next = await this.#context.tokens.identify(token);
    } catch (error) {
      return { ...asSocketError(error), retryable: true };
    }
    const refusal = refusalOf(next, id, organizationId);
    if (refusal !== undefined) return refusal;
    this.#caller = next;
    if (this.#socket.connected) this.#watch();
    return undefined;
  }
}

function refusalOf(of: Caller, orchestratorId: string, organizationId: string): SocketError | undefined {
  if (!may(of, 'connect')) return forbidden(`this needs the role orchestrator; the token has ${of.role}`);
  if (of.orchestrators?.has(orchestratorId) === false)
    return forbidden(`the token of ${of.subject} does not name orchestrator ${orchestratorId}`);
  if (!covers(of.scope, organizationId))
    return forbidden(`the token of ${of.subject} does not name organization ${organizationId}`);
  return undefined;
}

function expired(what: string, leftMs?: number): SocketError {
  const message = `the token ${what}${leftMs === undefined ? '' : `: renew it with refresh_token within ${Math.round(leftMs / 1_000)} s`}`;
  return { code: 'token_expired', message, retryable: true };
}

const unauthorized = (message: string): SocketError => ({ code: 'unauthorized', message, retryable: false });
const forbidden = (message: string): SocketError => ({ code: 'forbidden', message, retryable: false });

function asSocketError(error: unknown): SocketError {
  const known: FleetError | undefined = asFleetError(error);
  if (known?.code === 'unauthorized') return unauthorized(known.message);
  return {
    code: 'unavailable',
    message: known?.message ?? 'the token could not be verified',
    retryable: true,
    retry_after_ms: (known?.retryAfterSeconds ?? 1) * 1_000,
  };
}
