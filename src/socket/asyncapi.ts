// Owns the description of the events of `/ws`, generated from the very schemas of the protocol.
import { z } from 'zod';
import manifest from '../../package.json' with { type: 'json' };
import { provisionConfig } from '../fleet/provisioning.ts';
import { createDescriber } from '../json-schema.ts';
import { meanings } from './error-meanings.ts';
import { socketPath } from './path.ts';
import * as protocol from './protocol.ts';

const about = `What an orchestrator says to the controller of its fleet, and what it is told. The controller is the
application that is described: it receives what orchestrators send. The other half, REST, is in
[/openapi.json](/openapi.json).

This is Socket.IO 4 on Engine.IO 4, by websocket and by polling, in the default namespace, and not a bare websocket:
use a Socket.IO client. What is called a message here is an event of Socket.IO: its name, and one argument, the payload.
What is called a reply is its acknowledgement, where the sender asks for one. What is refused is never acknowledged: the
event \`error\` is told instead.

The token goes into \`auth: { token }\` of the connection, never into the address. The first event is \`handshake\`, within
\`socket.handshakeTimeoutMs\`; then comes \`i_am_alive\` every \`heartbeat_interval_ms\`. Of two connections of one
orchestrator the newer counts, in the whole cluster. A connection may be refused before it is made as well, with the error
of REST: 403 for a page of another origin, 429 and 503 with \`Retry-After\` for too many connections.`;

interface Message {
  readonly title: string;
  readonly payload: z.ZodType;
  /** From an orchestrator: it is parsed; to one: it is not. */
  readonly io: 'input' | 'output';
  readonly example?: unknown;
}

interface Operation {
  readonly action: 'receive' | 'send';
  readonly summary: string;
  readonly description?: string;
  readonly message: string;
  /** What is acknowledged. */
  readonly reply?: string;
}

/** AsyncAPI 3. Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0 */
export function describeEvents(events: protocol.Events): Record<string, unknown> {
  const describer = createDescriber();
  const told = messagesOf(events);
  const messages = Object.entries(told).map(([name, { title, payload, io, example }]) => [
    name,
    {
      name,
      title,
      contentType: 'application/json',
      payload: describer.describe(payload, io),
      ...(example === undefined ? {} : { examples: [{ payload: example }] }),
      ...(payload === protocol.socketError ? { 'x-codes': meanings } : {}),
    },
  ]);
  const inChannel = (name: string) => ({ $ref: `#/channels/orchestrator/messages/${name}` });
  const channel = { $ref: '#/channels/orchestrator' };
  const described = Object.entries(operations).map(([id, { message, reply, ...rest }]) => [
    id,
    {
      ...rest,
      channel,
      messages: [inChannel(message)],
      ...(reply === undefined ? {} : { reply: { channel, messages: [inChannel(reply)] } }),
      ...codesOf(message),
    },
  ]);
  return {
    asyncapi: '3.0.0',
    info: { title: 'Moolai Controller: orchestrators', version: manifest.version, description: about },
    defaultContentType: 'application/json',
    servers: {
      controller: {
        host: '{host}',
        pathname: socketPath,
        protocol: 'ws',
        protocolVersion: 'Socket.IO 4',
        description: 'Behind whoever ends TLS it is `wss`',
        variables: { host: { default: '127.0.0.1:8765', description: 'Where the controller is reached' } },
        security: [{ $ref: '#/components/securitySchemes/token' }],
      },
    },
    channels: {
      orchestrator: {
        address: socketPath,
        title: 'One orchestrator’s connection',
        servers: [{ $ref: '#/servers/controller' }],
        messages: Object.fromEntries(
          Object.keys(told).map((name) => [name, { $ref: `#/components/messages/${name}` }]),
        ),
        bindings: {
          // What a Socket.IO client asks for by itself; `sid` is its session's, given to it with the first answer.
          ws: {
            bindingVersion: '0.1.0',
            method: 'GET',
            query: {
              type: 'object',
              required: ['EIO', 'transport'],
              properties: {
                EIO: { const: '4' },
                transport: { enum: ['websocket', 'polling'] },
                sid: { type: 'string' },
              },
            },
          },
        },
      },
    },
    operations: Object.fromEntries(described),
    components: {
      messages: Object.fromEntries(messages),
      schemas: describer.components,
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description:
            'Not in a header: in `auth: { token }` of the connection, whose `role` is `orchestrator`. None is asked for ' +
            'where no keys for tokens are configured',
        },
      },
    },
  };
}

/** The codes of `error` that may come instead of what the message asks for. */
function codesOf(message: string): { 'x-error-codes'?: string[] } {
  const codes = Object.entries(meanings).flatMap(([code, { answers = [] }]) =>
    answers.some((each) => each === message) ? [code] : [],
  );
  return codes.length === 0 ? {} : { 'x-error-codes': codes };
}

const messagesOf = (events: protocol.Events): Record<string, Message> => ({
  handshake: {
    title: 'An orchestrator introduces itself',
    ...{ payload: events.handshake, io: 'input' },
    example: {
      type: 'handshake',
      data: { orchestrator_id: 'org-002', metadata: { name: 'Harbour', location: 'Oslo' } },
    },
  },
  i_am_alive: {
    title: 'A heartbeat',
    ...{ payload: events.i_am_alive, io: 'input', example: { health_status: 'healthy' } },
  },
  provisioning_request: {
    title: 'An orchestrator asks for its configuration',
    ...{ payload: events.provisioning_request, io: 'input', example: {} },
  },
  refresh_token: {
    title: 'A connection goes on with another token',
    ...{ payload: events.refresh_token, io: 'input', example: { token: 'eyJhbGciOiJFZERTQSJ9.e30.c2ln' } },
  },
  handshake_ack: {
    title: 'The handshake is committed',
    ...{ payload: protocol.handshakeAck, io: 'output' },
  },
  i_am_alive_ack: { title: 'What became of a heartbeat', payload: protocol.heartbeatAck, io: 'output' },
  refresh_token_ack: { title: 'The token is taken', payload: protocol.refreshTokenAck, io: 'output' },
  provision_config: { title: 'The configuration', payload: provisionConfig, io: 'output' },
  delivered: { title: 'A message of /send', payload: protocol.delivered, io: 'output' },
  delivered_ack: { title: 'What the orchestrator answers', payload: z.unknown(), io: 'input' },
  superseded: { title: 'A newer connection counts', payload: protocol.supersededNotice, io: 'output' },
  reconnect: { title: 'This replica is draining', payload: protocol.reconnectNotice, io: 'output' },
  error: { title: 'Something was refused', payload: protocol.socketError, io: 'output' },
  connect_error: {
    title: 'The connection is refused',
    payload: z.object({ message: z.string(), data: protocol.socketError }),
    io: 'output',
  },
});

const operations: Readonly<Record<string, Operation>> = {
  handshake: {
    action: 'receive',
    summary: 'Introduces the orchestrator; again, it refreshes what is known of it',
    description:
      'Answered, once it is committed, by the acknowledgement, by `handshake_ack` and by `provision_config`.',
    message: 'handshake',
    reply: 'handshake_ack',
  },
  i_am_alive: {
    action: 'receive',
    summary: 'A heartbeat, acknowledged only when it is committed',
    message: 'i_am_alive',
    reply: 'i_am_alive_ack',
  },
  provisioning_request: {
    action: 'receive',
    summary: 'Asks for the configuration',
    description: 'Answered by `provision_config`, and not acknowledged.',
    message: 'provisioning_request',
  },
  refresh_token: {
    action: 'receive',
    summary: 'Goes on with another token of the same orchestrator',
    message: 'refresh_token',
    reply: 'refresh_token_ack',
  },
  handshake_ack: {
    action: 'send',
    summary: 'The handshake is committed: the same as its acknowledgement',
    message: 'handshake_ack',
  },
  provision_config: {
    action: 'send',
    summary: 'The configuration, after every handshake and whenever it is asked for',
    message: 'provision_config',
  },
  deliver: {
    action: 'send',
    summary: 'A message that somebody sent with /send',
    description:
      'The event is called what `type` of `/send` says, and not `delivered`. It comes at least once: a repeat has the ' +
      'same `message_id`. Whatever is acknowledged is what `ack: true` answers.',
    message: 'delivered',
    reply: 'delivered_ack',
  },
  supersede: {
    action: 'send',
    summary: 'A newer connection with this id took over; this one is closed',
    message: 'superseded',
  },
  reconnect: {
    action: 'send',
    summary: 'Asks the orchestrator to connect again after `after_ms`, to whichever replica takes it',
    description:
      'The connection stays until the next one has taken over, at the most `shutdown.reconnectGraceMs`, and gets messages ' +
      'until then. A handshake on a replica that is draining is answered so, and closed.',
    message: 'reconnect',
  },
  fail: {
    action: 'send',
    summary: 'Something was refused; `x-codes` of the message says which code closes the connection',
    message: 'error',
  },
  connect: {
    action: 'send',
    summary: 'The connection is refused, and closed',
    description: 'As `connect_error` of Socket.IO: the error’s `data` has the form of `error`.',
    message: 'connect_error',
  },
};
