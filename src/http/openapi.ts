// Owns the description of the REST API, generated from the very schemas that validate.
import { z } from 'zod';
import type { Route } from './route.ts';

export interface MountedRoutes {
  prefix: string;
  tag: string;
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
    components: { schemas: { Error: errorSchema } },
  };
}

const errorSchema: JsonSchema = {
  type: 'object',
  required: ['success', 'message', 'code', 'timestamp'],
  properties: {
    success: { const: false },
    message: { type: 'string' },
    code: { type: 'string' },
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
    parameters: [...parametersOf(params, 'path'), ...parametersOf(query, 'query')],
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: asJsonSchema(body) } } } }),
    responses: {
      '2XX': { description: 'Done', content: { 'application/json': { schema: { type: 'object' } } } },
      default: {
        description: 'An error',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
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
  const { $schema: _dialect, ...described } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return described;
}
