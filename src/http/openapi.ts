// Owns the description of the REST API, generated from the very schemas that validate and from those of the answers.
import { z } from 'zod';
import manifest from '../../package.json' with { type: 'json' };
import { permissions } from '../access/roles.ts';
import { createDescriber, type Describer, type JsonSchema } from '../json-schema.ts';
import type { Envelope } from './answer-body.ts';
import { enveloped } from './envelopes.ts';
import { createFailures } from './openapi-failures.ts';
import type { Answers, Route } from './route.ts';

export interface MountedRoutes {
  prefix: string;
  tag: string;
  /** What those of the tag have in common, in Markdown. */
  about: string;
  envelope: Envelope;
  routes: readonly Route[];
}

const about = `What a dashboard asks of a fleet of LLM orchestrators, and what administers it. The other half, what an
orchestrator is told over its socket, is in [/asyncapi.json](/asyncapi.json), for people in [/docs/events](/docs/events).

Names are in snake_case, times in UTC with milliseconds. Every call but those of **process** needs a token once there
are keys for tokens: \`Authorization: Bearer …\`; the roles that may make a call are in its \`security\`. What belongs to
an organization that the token does not name does not exist for the caller. Whatever answers GET answers HEAD.

To who takes gzip, answers under \`/api/v1\` that are long enough to gain by it are sent so, those of \`live\` and \`logs\`
always, and so are the large files of \`/docs\`. An \`ETag\` names what is answered and not when: with \`If-None-Match\` it is
sent again only if it is another.

\`X-Request-Id\` (1 to 128 of \`A-Z a-z 0-9 . _ -\`) is taken from the call, or made, and is in every answer.`;

/** OpenAPI 3.1: every mounted route, with what it takes and answers. Source: https://spec.openapis.org/oas/v3.1.1 */
export function describeApi(mounted: readonly MountedRoutes[]): Record<string, unknown> {
  const describer = createDescriber();
  const failures = createFailures(describer);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const group of mounted)
    for (const each of group.routes) {
      const path = `${group.prefix}${each.path}`.replace(/:(\w+)/g, '{$1}');
      const responses = { ...describeAnswers(each, group.envelope, describer), ...failures.of(each, group) };
      paths[path] = { ...paths[path], [each.method]: describeRoute(each, group.tag, responses, describer) };
    }
  return {
    openapi: '3.1.0',
    info: { title: 'Moolai Controller', version: manifest.version, description: about },
    servers: [{ url: '/', description: 'Where this description is from' }],
    tags: [...new Map(mounted.map((each) => [each.tag, each.about]))].map(([name, description]) => ({
      name,
      description,
    })),
    paths,
    components: {
      schemas: describer.components,
      responses: failures.responses,
      headers: failures.headers,
      securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
    },
  };
}

function describeRoute(
  route: Route,
  tag: string,
  responses: Record<string, unknown>,
  describer: Describer,
): Record<string, unknown> {
  const { operationId, summary, description, schemas } = route;
  return {
    tags: [tag],
    operationId,
    summary,
    description: [description, rolesOf(route)].filter((part) => part !== undefined).join(' '),
    // Of a bearer token these are its roles (OpenAPI 3.1, Security Requirement Object).
    security: route.access === 'public' ? [] : [{ token: permissions[route.access] }],
    parameters: [
      ...parametersOf(schemas.params, 'path', describer),
      ...parametersOf(schemas.query, 'query', describer),
    ],
    ...(schemas.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: describer.describe(schemas.body, 'input') } },
          },
        }),
    responses,
  };
}

/** Readers of a description seldom show the roles that a bearer token must have. */
function rolesOf({ access }: Route): string {
  if (access === 'public') return 'Needs no token.';
  const roles = permissions[access];
  return `For the ${roles.length === 1 ? 'role' : 'roles'} ${roles.join(', ')}.`;
}

const wordOf: Record<string, string> = { 200: 'Done', 201: 'Created', 202: 'Accepted', 304: 'Not changed' };

/** Those that are no failure in the error's envelope. */
function describeAnswers(
  { answers }: { answers: Answers },
  envelope: Envelope,
  describer: Describer,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(answers).map(([status, answer]) => [
      status,
      {
        description:
          (answer instanceof z.ZodType ? answer.description : undefined) ?? wordOf[status] ?? status,
        headers: {
          'X-Request-Id': { $ref: '#/components/headers/RequestId' },
          ...(304 in answers ? { ETag: { $ref: '#/components/headers/ETag' } } : {}),
        },
        content:
          answer instanceof z.ZodType
            ? { 'application/json': { schema: describer.describe(enveloped(envelope, answer), 'output') } }
            : Object.fromEntries(answer.mediaTypes.map((type) => [type, { schema: renderedAs(type) }])),
      },
    ]),
  );
}

const renderedAs = (mediaType: string): JsonSchema => ({
  type: mediaType === 'application/json' ? 'object' : 'string',
});

function parametersOf(
  schema: z.ZodType | undefined,
  where: 'path' | 'query',
  describer: Describer,
): Record<string, unknown>[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = z
    .object({
      properties: z.record(z.string(), z.record(z.string(), z.unknown())).optional(),
      required: z.array(z.string()).optional(),
    })
    .parse(describer.describe(schema, 'input'));
  return Object.entries(properties).map(([name, { description, ...property }]) => ({
    name,
    in: where,
    ...(description === undefined ? {} : { description }),
    required: where === 'path' || required.includes(name),
    schema: property,
  }));
}
