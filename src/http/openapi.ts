// Owns the description of the REST API, generated from the very schemas that validate.
import { z } from 'zod';
import { permissions } from '../access/roles.ts';
import { errorCodes } from '../fleet/errors.ts';
import { httpErrorCodes } from './errors.ts';
import type { Envelope, Responses, Route } from './route.ts';

export interface MountedRoutes {
  prefix: string;
  tag: string;
  envelope: Envelope;
  routes: readonly Route[];
}

type JsonSchema = Record<string, unknown>;

/** OpenAPI 3.1: every mounted route with what it takes. Source: https://spec.openapis.org/oas/v3.1.1 */
export function describeApi(mounted: readonly MountedRoutes[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { prefix, tag, routes } of mounted)
    for (const each of routes) {
      const path = `${prefix}${each.path}`.replace(/:(\w+)/g, '{$1}');
      paths[path] = { ...paths[path], [each.method]: describeRoute(each, tag) };
    }
  return {
    openapi: '3.1.0',
    info: { title: 'Moolai Controller', version: '1' },
    paths,
    components: {
      schemas: { Error: errorSchema },
      securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
    },
  };
}

const errorSchema: JsonSchema = {
  type: 'object',
  required: ['success', 'message', 'code', 'timestamp'],
  properties: {
    success: { const: false },
    message: { type: 'string' },
    code: { enum: [...errorCodes, ...httpErrorCodes] },
    timestamp: { type: 'string', format: 'date-time' },
    errors: {
      type: 'array',
      items: { type: 'object', properties: { path: { type: 'string' }, message: { type: 'string' } } },
    },
  },
};

function describeRoute(route: Route, tag: string): Record<string, unknown> {
  const { params, query, body } = route.schemas;
  return {
    tags: [tag],
    summary: route.summary,
    // Of a bearer token these are its roles (OpenAPI 3.1, Security Requirement Object).
    security: route.access === 'public' ? [] : [{ token: permissions[route.access] }],
    parameters: [...parametersOf(params, 'path'), ...parametersOf(query, 'query')],
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: asJsonSchema(body) } } } }),
    responses: Object.fromEntries(
      Object.entries(responsesOf(route, tag)).flatMap(([status, description]) => {
        if (description === undefined) return [];
        // What is not ready says so in its own words.
        const isError = Number(status) >= 400 && (tag !== 'process' || status === '429');
        return [[status, isError ? describeError(status, description) : { description }]];
      }),
    ),
  };
}

/** What the route says of itself, and what every route of its kind answers. */
function responsesOf({ access, schemas, responses }: Route, tag: string): Responses {
  const succeeds = Object.keys(responses).some((status) => Number(status) < 300);
  const { params, query, body } = schemas;
  return {
    ...(succeeds ? {} : { 200: 'Done' }),
    ...(access === 'public' ? {} : { 401: 'unauthorized', 403: 'forbidden' }),
    ...((params ?? query ?? body) ? { 400: 'invalid_request: every fault of the call is named' } : {}),
    ...(params === undefined ? {} : { 404: 'not_found' }),
    ...(body === undefined ? {} : { 413: 'payload_too_large', 415: 'unsupported_media_type' }),
    ...(tag === 'process'
      ? {}
      : {
          429: 'rate_limited: too many calls of this address or caller',
          503: 'unavailable: a store that the call needs is down',
        }),
    ...responses,
  };
}

function describeError(status: string, description: string): Record<string, unknown> {
  const retryAfter = { description: 'Seconds until another try', schema: { type: 'integer' } };
  return {
    description,
    ...(status === '429' || status === '503' ? { headers: { 'Retry-After': retryAfter } } : {}),
    content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
  };
}

function parametersOf(schema: z.ZodType | undefined, where: 'path' | 'query'): Record<string, unknown>[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = z
    .object({
      properties: z.record(z.string(), z.unknown()).optional(),
      required: z.array(z.string()).optional(),
    })
    .parse(asJsonSchema(schema));
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    schema: property,
  }));
}

function asJsonSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _dialect, ...described } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema: { _zod: zod }, jsonSchema }) {
      // Left out where a value is transformed; ours stand for themselves.
      if (zod.def.type === 'default') jsonSchema.default = zod.def.defaultValue;
    },
  });
  return described;
}
