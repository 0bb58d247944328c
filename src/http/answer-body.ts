// Owns what becomes of an answer on its way out: wrapped, named by a tag where that is promised, and compressed.
import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Context } from 'koa';
import type { Clock } from '../clock.ts';
import { PreparedBody } from './prepared-body.ts';

/** How the answer is wrapped: `data` apart, beside the envelope's fields, or not at all. */
export type Envelope = 'data' | 'fields' | 'plain';

export interface Answered {
  readonly body: unknown;
  /** For people. */
  readonly message?: string;
  /** The same body, compressed already. */
  readonly gzip?: Buffer;
}

/** Less than that travels no faster for being smaller. */
const compressedFromBytes = 1_400;
/** Most of what it saves, at a third of the time. */
const level = 3;
const compress = promisify(gzip);

/**
 * Sets the body, and what is said of it. To who names what has been answered before, a 304.
 * @param how.isTagged whether the answer is to have a tag, which names what is told and not when
 */
export async function setBody(
  ctx: Context,
  answered: Answered,
  how: { envelope: Envelope; isTagged: boolean; clock: Clock },
): Promise<void> {
  const { body, gzip } = answered;
  const takesGzip = () => {
    ctx.vary('Accept-Encoding');
    return ctx.acceptsEncodings('gzip', 'identity') === 'gzip';
  };
  if (body instanceof PreparedBody) {
    if (tag(ctx, body.tag)) return;
    ctx.type = 'json';
    if (takesGzip()) setBytes(ctx, body.gzip, undefined);
    else {
      ctx.body = body.stream();
      ctx.length = body.length;
    }
    return;
  }
  if (how.envelope === 'plain') {
    setBytes(ctx, gzip !== undefined && takesGzip() ? gzip : undefined, body);
    // Source: RFC 9110, 13.1.2
    if (ctx.res.hasHeader('ETag') && ctx.fresh) ctx.status = 304;
    return;
  }
  const json = JSON.stringify(how.envelope === 'data' ? body : asFields(body));
  if (how.isTagged && tag(ctx, tagOf(json))) return;
  const { before, behind } = wrapping(how.envelope, answered.message, how.clock.now());
  const text = before + (how.envelope === 'data' ? json : json.slice(1)) + behind;
  ctx.type = 'json';
  if (text.length < compressedFromBytes) ctx.body = text;
  else setBytes(ctx, takesGzip() ? await compress(text, { level }) : undefined, text);
}

/** What stands around the JSON of an answer; of fields without their first brace. */
export function wrapping(
  envelope: Exclude<Envelope, 'plain'>,
  message: string | undefined,
  atMs: number,
): { before: string; behind: string } {
  const head = JSON.stringify({ success: true, message: message ?? 'OK', timestamp: timeOf(atMs) });
  const open = `${head.slice(0, -1)},`;
  return envelope === 'data' ? { before: `${open}"data":`, behind: '}' } : { before: open, behind: '' };
}

const timeOf = (ms: number) => new Date(ms).toISOString();

/** Weak: the time in the envelope is another one each time. */
export const tagOf = (text: string): string => `W/"${hash('sha1', text, 'base64url')}"`;

/** @returns whether the client has that already: it is told so, and that is all */
function tag(ctx: Context, value: string): boolean {
  ctx.set('ETag', value);
  // Kept by nobody but the caller, and asked for each time.
  ctx.set('Cache-Control', 'private, no-cache');
  if (!ctx.fresh) return false;
  ctx.vary('Accept-Encoding');
  ctx.status = 304;
  return true;
}

function setBytes(ctx: Context, compressed: Buffer | undefined, plain: unknown): void {
  if (compressed !== undefined) ctx.set('Content-Encoding', 'gzip');
  ctx.body = compressed ?? plain;
}

/** @throws TypeError for what could not stand beside the envelope's fields */
function asFields(body: unknown): object {
  if (typeof body !== 'object' || body === null || Object.keys(body).length === 0)
    throw new TypeError('only fields can stand beside fields');
  return body;
}
