// Owns the routes that describe what can be called and what can be heard: as documents, and as pages for people.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type DocsFiles, pageHeaders } from './docs-files.ts';
import { HttpError } from './errors.ts';
import { type Route, route, unchanged } from './route.ts';

/** Unlike the probes. */
const errors = { 429: 'rate_limited' } as const;
const document = { 200: { mediaTypes: ['application/json'] }, 304: unchanged } as const;
const page = { 200: { mediaTypes: ['text/html'] }, 304: unchanged } as const;

/** What they answer never changes: it is made for the first who asks. */
export function describingRoutes(made: {
  openApi(): object;
  asyncApi(): object;
  docs(): string;
  eventDocs(): string;
  files: DocsFiles;
}): Route[] {
  const openApi = once(() => asDocument(made.openApi()));
  const asyncApi = once(() => asDocument(made.asyncApi()));
  const docs = once(() => asPage(made.docs()));
  const eventDocs = once(() => asPage(made.eventDocs()));
  return [
    route({
      method: 'get',
      path: '/openapi.json',
      access: 'public',
      operationId: 'getOpenApi',
      summary: 'This API as OpenAPI 3.1',
      answers: document,
      errors,
      answer: async () => openApi(),
    }),
    route({
      method: 'get',
      path: '/asyncapi.json',
      access: 'public',
      operationId: 'getAsyncApi',
      summary: 'The events of `/ws` as AsyncAPI 3',
      answers: document,
      errors,
      answer: async () => asyncApi(),
    }),
    route({
      method: 'get',
      path: '/docs',
      access: 'public',
      operationId: 'getDocs',
      summary: 'This API as a page',
      answers: page,
      errors,
      answer: async () => docs(),
    }),
    route({
      method: 'get',
      path: '/docs/events',
      access: 'public',
      operationId: 'getEventDocs',
      summary: 'The events of `/ws` as a page',
      answers: page,
      errors,
      answer: async () => eventDocs(),
    }),
    route({
      method: 'get',
      path: '/docs/:file',
      access: 'public',
      operationId: 'getDocsFile',
      summary: 'A file that the pages need',
      answers: { 200: { mediaTypes: ['text/css', 'text/javascript'] }, 304: unchanged },
      // Whatever it is called, it is there or not.
      errors: { ...errors, 400: undefined },
      params: z.object({ file: z.string() }),
      async answer({ params }) {
        const file = await made.files.get(params.file);
        if (file === undefined) throw new HttpError(404, 'not_found', 'There is no such file');
        return file;
      },
    }),
  ];
}

function once<T>(make: () => T): () => T {
  let made: { it: T } | undefined;
  return () => {
    made ??= { it: make() };
    return made.it;
  };
}

function asDocument(described: object) {
  return cacheable(JSON.stringify(described), { 'Content-Type': 'application/json; charset=utf-8' });
}

function asPage(html: string) {
  return cacheable(html, { 'Content-Type': 'text/html; charset=utf-8', ...pageHeaders });
}

/** Kept, but asked for each time: another version of this replica may say something else. */
function cacheable(body: string, headers: Record<string, string>) {
  const digest = createHash('sha256').update(body).digest('base64url').slice(0, 22);
  return { body, headers: { ...headers, ETag: `W/"${digest}"`, 'Cache-Control': 'no-cache' } };
}
