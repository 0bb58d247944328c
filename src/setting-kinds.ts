// Owns the kinds of settings: what a value must be, as a file or the environment gives it.
import { isIP } from 'node:net';
import proxyAddr from 'proxy-addr';
import { z } from 'zod';
import { jwkSetSchema } from './access/keys.ts';
import { isLoopback } from './access/loopback.ts';
import { parseRedisUrl, RedisUrlFault } from './redis/address.ts';

// The environment has only strings; a whole number in one is a whole number.
export const integer = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  z.preprocess(
    (value) => (typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value),
    z.custom<number>((value) => Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max, {
      error: `must be a whole number from ${min} to ${max}`,
    }),
  );
export const milliseconds = integer(1, 86_400_000);
export const seconds = integer(1, 86_400);
/** So many; 0 is no limit. */
export const limit = integer(0);
/** Several words: a list, or in the environment one string with commas. Every word at fault is named. */
const words = (faultOf: (word: string) => string | undefined) =>
  z.preprocess(
    (value) =>
      typeof value === 'string'
        ? value
            .split(',')
            .map((word) => word.trim())
            .filter((word) => word !== '')
        : value,
    z.array(z.string()).superRefine((list, ctx) => {
      const faults = list.map(faultOf).filter((fault) => fault !== undefined);
      if (faults.length > 0) ctx.addIssue({ code: 'custom', message: faults.join('; ') });
    }),
  );
const storeUrl = (protocols: RegExp, variable: string, example: string) =>
  z.preprocess(
    (value) => value ?? '',
    z
      .string()
      .min(1, `is not set: give it in the environment as ${variable}, such as ${example}`)
      .refine((value) => value === '' || (URL.canParse(value) && protocols.test(new URL(value).protocol)), {
        message: `must be a URL such as ${example}`,
      }),
  );
export const postgresUrl = (variable: string) =>
  storeUrl(/^postgres(ql)?:$/, variable, 'postgres://user:password@host:5432/moolai');
export const redisUrl = z.preprocess(
  (value) => value ?? '',
  z.string().superRefine((value, ctx) => {
    if (value === '')
      return ctx.addIssue({
        code: 'custom',
        message: 'is not set: give it in the environment as REDIS_URL, such as redis://host:6379',
      });
    try {
      parseRedisUrl(value);
    } catch (fault) {
      if (!(fault instanceof RedisUrlFault)) throw fault;
      ctx.addIssue({ code: 'custom', message: fault.message });
    }
  }),
);
/** Keys come as JSON text in one variable; what they are is never quoted in a fault. */
export const jwkSet = z
  .preprocess((value) => {
    if (typeof value !== 'string' || value === '') return value === '' ? null : value;
    try {
      return JSON.parse(value);
    } catch {
      return value;
    }
  }, jwkSetSchema.nullable())
  .transform((set) => set?.keys ?? null);
/** Keys that come over a network are only as good as the way they come. */
export const jwksUrl = z.preprocess(
  (value) => (value === '' ? null : value),
  z
    .string()
    .refine(isSafeUrl, { error: 'must be an https URL, or http on this machine, without a user in it' })
    .nullable(),
);
export const level = z.enum(['debug', 'info', 'warn', 'error', 'fatal', 'silent']);

/** Whose `X-Forwarded-For` is believed. */
export const proxies = words(proxyFault);
/** Whose pages may call. */
export const origins = words(originFault);

/** Why a word names no proxy; undefined if it does. */
function proxyFault(word: string): string | undefined {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(word)) return undefined;
  try {
    // By itself it would take a number for an address.
    if (isIP(word.split('/', 1)[0] ?? '') === 0) throw new Error('no address');
    proxyAddr.compile(word);
    return undefined;
  } catch {
    return `${JSON.stringify(word)} is no address, no range such as 10.0.0.0/8, nor one of loopback, linklocal, uniquelocal`;
  }
}

/** Why a word is no origin as a browser sends it; undefined if it is. */
function originFault(word: string): string | undefined {
  const isOrigin = /^https?:[^*]+$/.test(word) && URL.canParse(word) && new URL(word).origin === word;
  return isOrigin ? undefined : `${JSON.stringify(word)} is no origin such as https://dashboard.example.com`;
}

function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
}
