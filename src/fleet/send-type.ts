// Owns the names under which a message may reach an orchestrator.
import { z } from 'zod';

/** Names that `/send` must not use: those that Socket.IO reserves, and the protocol's own. */
const reservedEvents = [
  'connect',
  'connect_error',
  'disconnect',
  'disconnecting',
  'handshake_ack',
  'superseded',
  'reconnect',
  'error',
];

/** `type` of `/send`: the name of the Socket.IO event that the orchestrator gets. */
export const sendType = z
  .string()
  .regex(/^[a-z0-9_.-]{1,64}$/, 'must be 1 to 64 characters of a-z 0-9 _ . -')
  .refine((type) => !reservedEvents.includes(type), { message: 'is reserved by the protocol' })
  .meta({ not: { enum: reservedEvents } });
