// Owns what each code of `error` means to an orchestrator, and where it meets it.
import type { EventName, SocketError } from './protocol.ts';

/** Whether the connection ends with it. */
type Closes = 'always' | 'never' | 'sometimes';

export interface Meaning {
  readonly means: string;
  readonly closes: Closes;
  readonly retryable: readonly boolean[];
  /** The events that it may answer; `connect`: the connection is refused. None: it comes by itself, or to any event. */
  readonly answers?: readonly (EventName | 'connect')[];
}

const [yes, no] = [[true], [false]] as const;

export const meanings: Readonly<Record<SocketError['code'], Meaning>> = {
  handshake_timeout: { means: 'No valid handshake came in time', closes: 'always', retryable: yes },
  handshake_required: { means: 'The event came before a handshake', closes: 'never', retryable: yes },
  invalid_handshake: {
    ...{ means: 'The handshake is not valid; every fault of it is named', closes: 'always', retryable: no },
    answers: ['handshake'],
  },
  invalid_payload: {
    ...{ means: 'The payload is not valid; every fault of it is named', closes: 'never', retryable: no },
    answers: ['i_am_alive', 'provisioning_request', 'refresh_token'],
  },
  identity_mismatch: {
    ...{ means: 'This connection is another orchestrator’s already', closes: 'never', retryable: no },
    answers: ['handshake'],
  },
  unknown_event: { means: 'There is no such event', closes: 'never', retryable: no },
  busy: {
    means: 'Too many handshakes wait to be written; `retry_after_ms` says when to come again',
    ...{ closes: 'always', retryable: yes, answers: ['handshake'] },
  },
  too_many_events: { means: 'Too many events wait for the handshake', closes: 'never', retryable: yes },
  too_many_heartbeats: {
    ...{ means: 'Too many heartbeats wait for their commit', closes: 'never', retryable: yes },
    answers: ['i_am_alive'],
  },
  rate_limited: {
    means:
      'Events come faster than `socket.eventsPerSecond`; those beyond are not handled, and this is said once a second. ' +
      'Ten times as many end the connection',
    ...{ closes: 'never', retryable: yes },
  },
  deregistered: {
    ...{ means: 'The orchestrator was removed from the fleet', closes: 'always', retryable: no },
    answers: ['i_am_alive', 'provisioning_request'],
  },
  silent: { means: 'No heartbeat for ten intervals', closes: 'always', retryable: yes },
  unauthorized: {
    means:
      'No token, or one that does not count. One of `refresh_token` is not taken, and the connection stays until its own ends',
    ...{ closes: 'sometimes', retryable: [false, true], answers: ['connect', 'refresh_token'] },
  },
  forbidden: {
    means:
      'The token is not one of this orchestrator, organization or role. Behind a handshake the connection stays, unless ' +
      'its orchestrator was moved out of the token’s organizations',
    ...{ closes: 'sometimes', retryable: [false, true] },
    answers: ['connect', 'handshake', 'provisioning_request', 'refresh_token'],
  },
  token_expired: {
    means: 'The token is about to expire: renew it with `refresh_token`; said again when it has',
    ...{ closes: 'sometimes', retryable: yes },
  },
  unavailable: {
    ...{ means: 'A store, or the provider of keys, is away', closes: 'sometimes', retryable: yes },
    answers: ['connect', 'handshake', 'i_am_alive', 'provisioning_request', 'refresh_token'],
  },
};
