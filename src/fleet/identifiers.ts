// Owns identifiers: which are allowed, and how new ones are made.
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';

export const identifier = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/,
    'must be 1 to 255 characters of A-Z a-z 0-9 . _ -, the first a letter or digit',
  );

/**
 * `msg_{orchestrator_id}_{32 hex digits}`: the digits are a UUID version 7 (RFC 9562), so ids sort by time, and those
 * of one replica in the order in which they were made (6.2, method 1).
 */
export function newMessageId(orchestratorId: string): string {
  return `msg_${orchestratorId}_${uuidv7().replaceAll('-', '')}`;
}

/** New at every boot: a replica never takes up what another one, or its own last life, left. */
export function newNodeId(): string {
  return `node-${uuidv7().replaceAll('-', '')}`;
}
