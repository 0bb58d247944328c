// Owns what JSON from outside may hold, so that every store can take it.
import { z } from 'zod';
import { hideCredentialsInText } from '../credentials.ts';

/** A payload's faults are told all at once, but for one that is nothing else. */
const mostFaults = 100;

interface FaultyPlace {
  path: string[];
  message: string;
}

/** Notes where Postgres's jsonb, or a later reader, could not take this value, and why; `path` leads to it. */
function noteFaults(value: unknown, path: string[], found: FaultyPlace[]): void {
  const note = (message: string) => found.push({ path: path.map(shortened), message });
  const fault = faultIn(value);
  if (fault !== undefined) note(fault);
  else if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) {
      if (found.length >= mostFaults) return;
      const faultyKey = faultInText(key);
      if (faultyKey !== undefined) note(`a key in it ${faultyKey}`);
      else {
        path.push(key);
        noteFaults(inner, path, found);
        path.pop();
      }
    }
}

function faultIn(value: unknown): string | undefined {
  if (value === null || typeof value === 'boolean') return undefined;
  if (typeof value === 'string') return faultInText(value);
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'must be a finite number';
  return isPlain(value) ? undefined : 'must be JSON';
}

/** Whether objects and arrays are nested in each other by more than so many levels. */
export function isDeeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(levels - 1, inner));
}

/** Of a key that is longer no more is looked at: it may be in the place of every fault. */
const readCharacters = 512;
const shownCharacters = 64;

/** A key as an answer may repeat it. */
function shortened(key: string): string {
  const shown = hideCredentialsInText(key.slice(0, readCharacters));
  return shown.length <= shownCharacters ? shown : `${shown.slice(0, shownCharacters)}…`;
}

/** Not so: a function, a date, or the bytes of a binary Socket.IO packet. */
function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function faultInText(text: string): string | undefined {
  if (text.includes('\u0000')) return 'must not hold the character U+0000';
  if (!text.isWellFormed()) return 'must be well-formed Unicode';
  return undefined;
}

export interface JsonLimits {
  /** What one object or array of a payload may have, in bytes of its JSON in UTF-8 without white space. */
  metadataBytes: number;
  /** How many levels objects and arrays may be nested in each other. */
  jsonDepth: number;
}

/** Narrows a schema to what every store can take, within limits. */
function storable<T extends z.ZodType>(schema: T, { metadataBytes, jsonDepth }: JsonLimits): T {
  return schema.superRefine((value, context) => {
    const note = (message: string) => context.addIssue({ code: 'custom', message });
    // First of all: what is deeper might exhaust the stack of whoever looks into it.
    if (isDeeperThan(jsonDepth, value)) return note(`must not be nested more than ${jsonDepth} deep`);
    if (metadataBytes < Number.POSITIVE_INFINITY && Buffer.byteLength(JSON.stringify(value)) > metadataBytes)
      note(`must not be larger than ${metadataBytes} bytes as JSON in UTF-8`);
    const found: FaultyPlace[] = [];
    noteFaults(value, [], found);
    for (const fault of found) context.addIssue({ code: 'custom', ...fault });
  });
}

/** A text that every store can take, of `min` to `max` UTF-16 code units. */
export const text = (min: number, max: number) =>
  storable(z.string().min(min).max(max), { metadataBytes: Number.POSITIVE_INFINITY, jsonDepth: 0 });

/** The schemas of JSON that nothing but the settings' limits bounds. */
export function createJsonSchemas(limits: JsonLimits) {
  const limited = <T extends z.ZodType>(schema: T) => storable(schema, limits);
  const anyObject = z.record(z.string(), z.unknown());
  const depth = `Nested at most ${limits.jsonDepth} deep`;
  const bounds = `At most ${limits.metadataBytes} bytes as JSON in UTF-8, nested at most ${limits.jsonDepth} deep`;
  return {
    /** Narrows a schema of one's own to what the limits allow. */
    limited,
    /** Any JSON value that every store can take, of any size. */
    json: storable(z.unknown(), { ...limits, metadataBytes: Number.POSITIVE_INFINITY }).describe(depth),
    /** A JSON object: metadata, settings, environment variables. */
    jsonObject: limited(anyObject).describe(bounds),
    /** A JSON object or array: features are told both ways. */
    jsonContainer: limited(z.union([anyObject, z.array(z.unknown())])).describe(bounds),
  };
}
export type JsonSchemas = ReturnType<typeof createJsonSchemas>;
