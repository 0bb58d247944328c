// Owns what the shapes of all that is told have in common: times, counts, ids, JSON of others. They describe it, and make
// its types; nothing that is told is checked against them at run time.
import { z } from 'zod';
import { identifier } from './identifiers.ts';

/** ISO 8601 in UTC, with milliseconds and `Z`. */
export const time = z.iso.datetime({ precision: 3 }).meta({
  id: 'Time',
  description: 'In UTC, with milliseconds',
  examples: ['2026-11-24T08:20:24.619Z'],
});
export const count = z.int().min(0);
export const knownId = identifier.meta({ id: 'Identifier', examples: ['org-002'] });
export const nodeId = z
  .string()
  .regex(/^node-[0-9a-f]{32}$/)
  .meta({
    id: 'NodeId',
    description: 'A replica, from its start to its end',
    examples: [`node-01a20ca4419474689906134cea0b25b0`],
  });
export const messageId = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,400}$/)
  .meta({ id: 'MessageId', examples: ['msg_org-002_01a20ca44fb973f795edc507db112a36'] });

/** JSON that others have stored; what looks like a credential in it is shown as `[hidden]`. */
export const storedObject = z.unknown().meta({ type: 'object' });
/** The same, where a list is stored as well. */
export const storedContainer = z.unknown().meta({ type: ['object', 'array'] });

/** What a removal took, in rows of each table. */
export const deletedRows = z.object({ messages: count, instances: count, organizations: count });
