// Owns what JSON from outside may hold, so that every store can take it.
import { z } from 'zod';

const deepest = 32;

/** The first reason why Postgres's jsonb, or a later reader, could not take this value. */
function faultIn(value: unknown, depth: number): string | undefined {
  if (value === null || typeof value === 'boolean') return undefined;
  if (typeof value === 'string') return faultInText(value);
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : 'must hold finite numbers only';
  if (!isPlain(value)) return 'must be JSON';
  if (depth >= deepest) return `must not be nested more than ${deepest} deep`;
  for (const [key, inner] of Object.entries(value)) {
    const fault = faultInText(key) ?? faultIn(inner, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
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
    const fault = faultIn(value, 0);
    if (fault !== undefined) context.addIssue({ code: 'custom', message: fault });
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
