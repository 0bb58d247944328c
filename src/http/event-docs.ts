// Owns the page that shows the events of `/ws` to a person, from their AsyncAPI document.
import { z } from 'zod';
import { permissions } from '../access/roles.ts';
import type { JsonSchema } from '../json-schema.ts';
import { escapeHtml, renderPage } from './docs.ts';

const reference = z.object({ $ref: z.string() });
const anySchema = z.record(z.string(), z.unknown());
const documentShape = z.object({
  info: z.object({ description: z.string() }),
  operations: z.record(
    z.string(),
    z.object({
      action: z.enum(['receive', 'send']),
      summary: z.string(),
      description: z.string().optional(),
      messages: z.array(reference),
      reply: z.object({ messages: z.array(reference) }).optional(),
      'x-error-codes': z.array(z.string()).optional(),
    }),
  ),
  components: z.object({
    messages: z.record(
      z.string(),
      z.object({
        payload: anySchema,
        examples: z.array(z.object({ payload: z.unknown() })).optional(),
        'x-codes': z
          .record(
            z.string(),
            z.object({ means: z.string(), closes: z.string(), retryable: z.array(z.boolean()) }),
          )
          .optional(),
      }),
    ),
    schemas: z.record(z.string(), anySchema),
  }),
});
type Document = z.output<typeof documentShape>;

/** @param asyncApi the document */
export function renderEventDocs(asyncApi: object): string {
  const document = documentShape.parse(asyncApi);
  const operations = Object.entries(document.operations);
  const section = (title: string, action: 'receive' | 'send') =>
    `<h2>${title}</h2>${operations
      .filter(([, each]) => each.action === action)
      .map(([, each]) => renderOperation(each, document))
      .join('\n')}`;
  return renderPage(
    'The events of the Moolai Controller',
    ['docs.css'],
    `<main class="docs">
<h1>The events of /ws</h1>
${document.info.description
  .split('\n\n')
  .map((paragraph) => `<p>${inText(paragraph)}</p>`)
  .join('\n')}
<p>Who may connect: ${permissions.connect.join(', ')}.</p>
${section('From an orchestrator', 'receive')}
${section('To an orchestrator', 'send')}
${renderCodes(document)}
</main>`,
  );
}

type Operation = Document['operations'][string];

function renderOperation(operation: Operation, document: Document): string {
  const messages = operation.messages.map(({ $ref }) => lastOf($ref));
  const reply = operation.reply?.messages.map(({ $ref }) => lastOf($ref)) ?? [];
  const codes = operation['x-error-codes'] ?? [];
  return `<section id="${messages.join('-')}">
<h3>${messages.map((name) => `<code>${escapeHtml(name)}</code>`).join(', ')}</h3>
<p>${inText(operation.summary)}. ${inText(operation.description ?? '')}</p>
${messages.map((name) => renderPayload(name, document)).join('')}
${reply.map((name) => `<p>Acknowledged with <code>${escapeHtml(name)}</code>:</p>${renderPayload(name, document)}`).join('')}
${codes.length === 0 ? '' : `<p>Or <code>error</code>: ${codes.map((code) => `<a href="#code-${code}"><code>${code}</code></a>`).join(', ')}</p>`}
</section>`;
}

function renderPayload(name: string, { components }: Document): string {
  const { payload = {}, examples = [] } = components.messages[name] ?? {};
  const rows = fieldsOf(payload, components.schemas, '').map(
    ({ path, type, isRequired, description }) =>
      `<tr><td><code>${escapeHtml(path)}</code></td><td>${escapeHtml(type)}</td><td>${isRequired ? 'always' : 'optional'}</td><td>${inText(description)}</td></tr>`,
  );
  if (rows.length === 0)
    return payload.type === 'object' ? '<p>An object, of which nothing is read.</p>' : '<p>Any JSON.</p>';
  return `<table><thead><tr><th scope="col">Field</th><th scope="col">Type</th><th scope="col">Is there</th><th scope="col">Says</th></tr></thead><tbody>${rows.join('')}</tbody></table>${examples
    .map((example) => `<p>As in <code>${escapeHtml(JSON.stringify(example.payload))}</code></p>`)
    .join('')}`;
}

interface Field {
  readonly path: string;
  readonly type: string;
  readonly isRequired: boolean;
  readonly description: string;
}

/** Those of an object, and of the objects in it. */
function fieldsOf(schema: JsonSchema, components: Record<string, JsonSchema>, above: string): Field[] {
  const resolved = resolve(schema, components);
  const required = Array.isArray(resolved.required) ? resolved.required : [];
  return Object.entries(asSchema(resolved.properties)).flatMap(([name, property]) => {
    const own = resolve(asSchema(property), components);
    const path = `${above}${name}`;
    const described = asSchema(property).description ?? own.description ?? '';
    return [
      {
        path,
        type: typeOf(own, components),
        isRequired: required.includes(name),
        description: String(described),
      },
      ...alternatives(own).flatMap((each) => fieldsOf(each, components, `${path}.`)),
    ];
  });
}

function resolve(schema: JsonSchema, components: Record<string, JsonSchema>): JsonSchema {
  return typeof schema.$ref === 'string' ? (components[lastOf(schema.$ref)] ?? {}) : schema;
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  return Array.isArray(schema.anyOf) ? schema.anyOf.map(asSchema).flatMap(alternatives) : [schema];
}

function typeOf(schema: JsonSchema, components: Record<string, JsonSchema>): string {
  const each = alternatives(schema).map((one) => resolve(one, components));
  return each
    .map(({ type, const: value, enum: values, format }) => {
      if (value !== undefined) return JSON.stringify(value);
      if (Array.isArray(values)) return values.map((one) => JSON.stringify(one)).join(' | ');
      if (Array.isArray(type)) return type.join(' | ');
      return [type ?? 'any JSON', format].filter((one) => one !== undefined).join(', ');
    })
    .join(' | ');
}

function renderCodes({ components }: Document): string {
  const rows = Object.entries(components.messages.error?.['x-codes'] ?? {}).map(
    ([code, { means, closes, retryable }]) =>
      `<tr id="code-${escapeHtml(code)}"><td><code>${escapeHtml(code)}</code></td><td>${inText(means)}</td><td>${escapeHtml(closes)}</td><td>${retryable.map((can) => (can ? 'yes' : 'no')).join(' or ')}</td></tr>`,
  );
  return `<h2>The codes of <code>error</code></h2><table><thead><tr><th scope="col">Code</th><th scope="col">Means</th><th scope="col">Closes</th><th scope="col">Retryable</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

/** What little Markdown there is in it: code and links. */
function inText(markdown: string): string {
  return escapeHtml(markdown)
    .replaceAll(/`([^`]*)`/g, '<code>$1</code>')
    .replaceAll(/\[([^\]]*)\]\((\/[^)\s]*)\)/g, '<a href="$2">$1</a>');
}

function lastOf(ref: string): string {
  return ref.split('/').at(-1) ?? '';
}

function asSchema(value: unknown): JsonSchema {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}
