// Owns what a route is: data that says what it takes, and a function that answers.
import { parse as parseQueryString } from 'node:querystring';
import { bodyParser } from '@koa/bodyparser';
import type Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import type { z } from 'zod';
import type { AuditedAction, Subject } from '../access/audit.ts';
import type { Caller } from '../access/caller.ts';
import type { Action } from '../access/roles.ts';
import type { Clock } from '../clock.ts';
import { type ErrorCode, type Fault, invalidRequest } from '../fleet/errors.ts';
import { type Envelope, setBody } from './answer-body.ts';
import { HttpError } from './errors.ts';
import type { PreparedBody } from './prepared-body.ts';
import { callerOf, noteSubject } from './requests.ts';
import { stepOf } from './trace.ts';

type Schema = z.ZodType;
type Parsed<S> = S extends Schema ? z.output<S> : undefined;

/** An answer that is rendered already, a page, a file or metrics, in one of these media types. */
export interface Rendered {
  readonly mediaTypes: readonly string[];
}
/** As a 304, where a client that names the tag of what is answered has it already: then that has one. */
export const unchanged: Rendered = { mediaTypes: [] };
/** What is answered, by status code: JSON of a schema, in the envelope, or what is rendered. */
export type Answers = Readonly<Record<number, Schema | Rendered>>;

/** What is told of an answer besides its body. */
interface Manner {
  /** For people. */
  message?: string;
  /** On whom it was, where only the answer knows. */
  about?: Subject;
  /** `Content-Type` and whatever else is not said of every answer. A client that has what `ETag` names gets a 304. */
  headers?: Readonly<Record<string, string>>;
  /** The same body, for who takes it so. */
  gzip?: Buffer;
}

/** One of the answers that a route has declared; 200 if it says no status. */
export type Reply<A extends Answers> = {
  [Status in keyof A]: Manner &
    (Status extends 200 ? { status?: Status } : { status: Status }) & {
      body: A[Status] extends Schema ? z.output<A[Status]> | PreparedBody : string | Buffer;
    };
}[keyof A];

interface AnyReply extends Manner {
  readonly status?: PropertyKey;
  readonly body: unknown;
}

/** A call that has passed its schemas. */
export interface Call<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  caller: Caller;
  /** What happens for the call is a step under this one; undefined where it is not traced. */
  traceparent: string | undefined;
}

/** A call as it came. */
export interface RawCall {
  params: unknown;
  query: unknown;
  body: unknown;
  traceparent?: string | undefined;
}

/** Whether a route changes something, and what the audit is told of it. */
type Change<C> =
  | { method: 'get'; audit?: never }
  | {
      method: 'post' | 'put' | 'delete';
      /** `none`: too much would be told, as of heartbeats. */
      audit: 'none' | { action: AuditedAction; on(call: C): Subject };
    };

export type RouteDefinition<
  P extends Schema | undefined,
  Q extends Schema | undefined,
  B extends Schema | undefined,
  A extends Answers,
  R extends Reply<A>,
> = Change<Call<Parsed<P>, Parsed<Q>, Parsed<B>>> & {
  path: string;
  /** Who may call: those who may do this, or everybody without a token. */
  access: Action | 'public';
  /** What it is called in the description of the API, and in the clients that are generated from it: it stays. */
  operationId: string;
  summary: string;
  /** What a summary has no room for, in Markdown. */
  description?: string;
  answers: A;
  /**
   * The codes of failures, by status code. What every route of its kind answers need not be said, but that it is never
   * answered must (undefined).
   */
  errors?: Errors;
  params?: P;
  query?: Q;
  body?: B;
  answer(call: Call<Parsed<P>, Parsed<Q>, Parsed<B>>): Promise<R>;
};

export type Errors = Readonly<Record<number, ErrorCode | undefined>>;

/** A call that can be answered. */
export interface Prepared {
  /** On whom it is. */
  readonly on: Subject;
  answer(): Promise<AnyReply>;
}

/** A route whose schemas are checked: what `answer` is given has passed them. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  readonly access: Action | 'public';
  /** What the audit calls it; undefined where it is told of nothing. */
  readonly audit: AuditedAction | undefined;
  readonly operationId: string;
  readonly summary: string;
  readonly description: string | undefined;
  readonly answers: Answers;
  readonly errors: Errors;
  readonly schemas: { params?: Schema | undefined; query?: Schema | undefined; body?: Schema | undefined };
  /** @throws invalid_request with every fault of params, query and body */
  prepare(raw: RawCall, caller: Caller): Prepared;
}

export function route<
  P extends Schema | undefined = undefined,
  Q extends Schema | undefined = undefined,
  B extends Schema | undefined = undefined,
  A extends Answers = never,
  // The words of an answer are those of its schema, not any text.
  const R extends Reply<A> = never,
>(definition: RouteDefinition<P, Q, B, A, R>): Route {
  const { method, path, access, operationId, summary, description, answers, errors = {} } = definition;
  const { params, query, body } = definition;
  const audit = definition.audit === undefined || definition.audit === 'none' ? undefined : definition.audit;
  return {
    method,
    path,
    access,
    audit: audit?.action,
    operationId,
    summary,
    description,
    answers,
    errors,
    schemas: { params, query, body },
    prepare(raw, caller) {
      const faults: Fault[] = [];
      const call = {
        params: parse(params, 'params', raw.params, faults),
        query: parse(query, 'query', raw.query, faults),
        body: parse(body, 'body', raw.body, faults),
        caller,
        traceparent: raw.traceparent,
      };
      if (faults.length > 0) throw invalidRequest(faults);
      return { on: audit?.on(call) ?? {}, answer: () => definition.answer(call) };
    },
  };
}

function parse<S extends Schema | undefined>(
  schema: S | undefined,
  part: string,
  raw: unknown,
  faults: Fault[],
): Parsed<S>;
function parse(schema: Schema | undefined, part: string, raw: unknown, faults: Fault[]): unknown {
  if (schema === undefined) return undefined;
  const parsed = schema.safeParse(raw, { error: asRequired });
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues)
    faults.push({ path: [part, ...issue.path.map(String)].join('.'), message: issue.message });
  return undefined;
}

/** In the words of a person, where the library would speak of `undefined`. */
function asRequired(issue: { code?: string; input?: unknown }): string | undefined {
  return issue.code === 'invalid_type' && issue.input === undefined ? 'is required' : undefined;
}

/** What stands in front of a route: its middleware comes before the body is read. */
export type Door = (route: Route) => Middleware;

/** Mounts routes under a prefix. */
export function mount(
  router: Router,
  prefix: string,
  envelope: Envelope,
  routes: readonly Route[],
  options: { bodyLimitBytes: number; clock: Clock; door: Door },
): void {
  const readBody = createBodyReader(options.bodyLimitBytes);
  for (const each of routes) {
    const stack: Middleware[] = [options.door(each)];
    if (each.schemas.body !== undefined) stack.push(readBody);
    router.register(
      `${prefix}${each.path}`,
      [each.method],
      [
        ...stack,
        async (ctx) => {
          const call = {
            params: ctx.params,
            query: parseQuery(ctx.querystring),
            body: bodyOf(ctx),
            traceparent: stepOf(ctx).traceparent,
          };
          const { on, answer } = each.prepare(call, callerOf(ctx));
          noteSubject(ctx, on);
          const reply = await answer();
          noteSubject(ctx, reply.about ?? {});
          ctx.status = Number(reply.status ?? 200);
          ctx.set({ ...reply.headers });
          await setBody(ctx, reply, { envelope, isTagged: 304 in each.answers, clock: options.clock });
        },
      ],
    );
  }
}

/** Koa's own looks through all parameters for each of them: a full line of them would hold the event loop. */
function parseQuery(text: string): unknown {
  return parseQueryString(text, '&', '=', { maxKeys: 0 });
}

function createBodyReader(limitBytes: number): Middleware {
  const parser = bodyParser({
    enableTypes: ['json'],
    jsonLimit: limitBytes,
    onError(error, ctx) {
      const status: unknown = Reflect.get(error, 'status');
      // Read on to the end of it, or its rest would keep the connection from its next request for ever, and a client that
      // is cut off while it sends never comes to read the answer.
      ctx.req.unpipe();
      ctx.req.resume();
      if (status === 413)
        throw new HttpError(413, 'payload_too_large', `The body is larger than ${limitBytes} bytes`);
      if (status === 415) throw new HttpError(415, 'unsupported_media_type', error.message);
      // Behind the comma it quotes the body, which may hold credentials.
      const [reason] = error.message.split(/, (?:\.\.\.)?"/, 1);
      throw invalidRequest([{ path: 'body', message: `is not JSON: ${reason}` }]);
    },
  });
  return async (ctx, next) => {
    // `is` answers null where there is no body, false where there is one of another type.
    if (ctx.request.length !== 0 && ctx.is('json') === false)
      throw new HttpError(415, 'unsupported_media_type', 'The body must be application/json');
    // JSON is UTF-8 (RFC 8259, 8.1); another charset would be misread, not refused.
    if (!['', 'utf-8', 'utf8', 'us-ascii'].includes(ctx.request.charset.toLowerCase()))
      throw new HttpError(415, 'unsupported_media_type', 'The body must be in UTF-8');
    await parser(ctx, next);
  };
}

function bodyOf(ctx: Context): unknown {
  return Reflect.get(ctx.request, 'body');
}
