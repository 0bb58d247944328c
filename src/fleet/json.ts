// Owns what JSON from outside may hold, so that every store can take it.
import { z } from 'zod';

const deepest = 32;
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

function shortened(key: string): string {
  return key.length <= 64 ? key : `${key.slice(0, 64)}…`;
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

/** Narrows a schema to what every store can take. */
export function storable<T extends z.ZodType>(schema: T): T {
  return schema.superRefine((value, context) => {
    if (isDeeperThan(deepest, value)) {
      context.addIssue({ code: 'custom', message: `must not be nested more than ${deepest} deep` });
      return;
    }
    const found: FaultyPlace[] = [];
    noteFaults(value, [], found);
    for (const fault of found) context.addIssue({ code: 'custom', ...fault });
  });
}

/** A text that every store can take, of `min` to `max` UTF-16 code units. */
export const text = (min: number, max: number) => storable(z.string().min(min).max(max));
/** Any JSON value that every store can take. */
export const json = storable(z.unknown());
/** A JSON object. */
export const jsonObject = storable(z.record(z.string(), z.unknown()));
/** A JSON object or array: features are told both ways. */
export const jsonContainer = storable(z.union([z.record(z.string(), z.unknown()), z.array(z.unknown())]));
