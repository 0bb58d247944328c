// Owns the wire contract with orchestrators: every event of `/ws`, its payload as schema and type.
import { z } from 'zod';
import { healths } from '../database/orchestrator-instances.ts';
import { identifier } from '../fleet/identifiers.ts';
import { type JsonSchemas, text } from '../fleet/json.ts';
import { knownId, messageId, nodeId, time } from '../fleet/shapes.ts';

const timestamp = z.union([z.string(), z.number()]).optional().describe('Not read');

/** `handshake`, from the orchestrator. */
const createHandshakeSchema = ({ limited, jsonContainer }: JsonSchemas) =>
  z.object({
    type: z.string().optional().describe('Not read'),
    service: z.string().optional().describe('Not read'),
    data: z.object({
      orchestrator_id: identifier,
      organization_id: identifier.nullish().describe('The same as `orchestrator_id`, if not said'),
      metadata: limited(
        z.looseObject({
          name: text(1, 255).nullish(),
          location: text(1, 255).nullish(),
          features: jsonContainer.nullish(),
        }),
      )
        .nullish()
        .describe('Whatever else there is to know of it is kept as well'),
    }),
    timestamp,
  });
export type Handshake = z.infer<ReturnType<typeof createHandshakeSchema>>;

/** `i_am_alive`, from the orchestrator. */
const heartbeatSchema = z
  .object({
    type: z.string().optional().describe('Not read'),
    timestamp,
    health_status: z.enum(healths).optional().describe('`healthy`, if not said'),
  })
  .default({});

export type Heartbeat = z.infer<typeof heartbeatSchema>;

/** `provisioning_request`, from the orchestrator. */
const provisioningRequestSchema = z.looseObject({}).default({});

/** `refresh_token`, from the orchestrator: its connection goes on with this one. */
const refreshTokenSchema = z.object({ token: z.string().min(1).max(16_384) });

/** Every event that an orchestrator may send, with the schema of its payload. No other is answered. */
export const createEvents = (jsonSchemas: JsonSchemas) => ({
  handshake: createHandshakeSchema(jsonSchemas),
  i_am_alive: heartbeatSchema,
  provisioning_request: provisioningRequestSchema,
  refresh_token: refreshTokenSchema,
});
export type Events = ReturnType<typeof createEvents>;
export type EventName = keyof Events;

export function isEventName(events: Events, event: string | number): event is EventName {
  return Object.hasOwn(events, event);
}

/** The acknowledgement of `refresh_token`. */
export const refreshTokenAck = z
  .object({
    type: z.literal('refresh_token_ack'),
    expires_at: time.nullable().describe('When the connection ends unless it is renewed again; null: never'),
    ts: time,
  })
  .meta({ id: 'RefreshTokenAck' });
export type RefreshTokenAck = z.infer<typeof refreshTokenAck>;

/** The acknowledgement of `handshake`, and the event after it. */
export const handshakeAck = z
  .object({
    type: z.literal('handshake_ack'),
    orch_id: knownId,
    orchestrator_id: knownId,
    epoch: z.int().min(1).describe('Of two connections the one with the higher counts'),
    node_id: nodeId,
    heartbeat_interval_ms: z.int().min(1),
    ts: time,
  })
  .meta({ id: 'HandshakeAck' });
export type HandshakeAck = z.infer<typeof handshakeAck>;

/** The acknowledgement of `i_am_alive`: `processed` says that it is committed. */
export const heartbeatAck = z
  .object({
    type: z.literal('i_am_alive_ack'),
    status: z
      .enum(['processed', 'ignored'])
      .describe('`processed` is committed; those of an independent orchestrator are `ignored`'),
    ts: time,
  })
  .meta({ id: 'HeartbeatAck' });
export type HeartbeatAck = z.infer<typeof heartbeatAck>;

/** What any `/send` type carries. */
export const delivered = z
  .object({
    type: z.string().describe('The name of the event'),
    data: z.unknown().describe('As `/send` was given it, null if nothing'),
    message_id: messageId.describe('A repeat has the same'),
    timestamp: time,
  })
  .meta({ id: 'Delivered' });
export type Delivered = z.infer<typeof delivered>;

export const socketErrorCodes = [
  'handshake_timeout',
  'handshake_required',
  'invalid_handshake',
  'invalid_payload',
  'identity_mismatch',
  'unknown_event',
  'busy',
  'too_many_events',
  'too_many_heartbeats',
  'rate_limited',
  'deregistered',
  'silent',
  'unauthorized',
  'forbidden',
  'token_expired',
  'unavailable',
] as const;

/** `error`, and what a connection is refused with. */
export const socketError = z
  .object({
    code: z.enum(socketErrorCodes),
    message: z.string().describe('For people'),
    retryable: z.boolean().describe('Whether trying again, on this or a new connection, can help'),
    retry_after_ms: z.int().min(0).optional(),
  })
  .meta({ id: 'SocketError' });
export type SocketError = z.infer<typeof socketError>;

/** A connection is closed because its orchestrator was removed from the fleet. */
export function deregistered(orchestratorId: string): SocketError {
  const message = `orchestrator ${orchestratorId} was removed from the fleet`;
  return { code: 'deregistered', message, retryable: false };
}

/** A connection is closed because nothing was heard on it for too long. */
export function silent(orchestratorId: string): SocketError {
  return { code: 'silent', message: `no heartbeat of ${orchestratorId} for too long`, retryable: true };
}

/** A connection is closed because too many handshakes wait for their commit already. */
export function busy(retryAfterMs: number): SocketError {
  const message = 'too many handshakes wait to be written';
  return { code: 'busy', message, retryable: true, retry_after_ms: retryAfterMs };
}

/** Events come too fast: those beyond the limit are not handled. */
export function tooFast(retryAfterMs: number): SocketError {
  const message = 'events come faster than they may; those beyond are not handled';
  return { code: 'rate_limited', message, retryable: true, retry_after_ms: retryAfterMs };
}

/** A newer connection with this id took over: this one is closed. */
export const supersededNotice = z
  .object({ epoch: z.int().min(1).describe('The newer one’s'), by_node: nodeId })
  .meta({ id: 'Superseded' });
export type Superseded = z.infer<typeof supersededNotice>;

/** This replica is draining: the connection is closed once the next one has taken over, or after a grace. */
export const reconnectNotice = z.object({ after_ms: z.int().min(0) }).meta({ id: 'Reconnect' });
export type Reconnect = z.infer<typeof reconnectNotice>;

/** Every fault of a payload in one line for a person. */
export function describeFaults(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.') || 'payload'}: ${issue.message}`).join('; ');
}

/** An event's name as it may be shown: no longer than a name of the protocol's could be. */
export function nameOf(event: string | number): string {
  return String(event).slice(0, 64);
}
