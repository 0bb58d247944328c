// Owns what a description says of what is told: whether an answer, or a payload, is one that it promises.
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { z } from 'zod';
import type { Answer } from './api.ts';

const reference = z.object({ $ref: z.string() });
const responseShape = z.object({
  headers: z.record(z.string(), z.unknown()).default({}),
  content: z.record(z.string(), z.unknown()).default({}),
});
const operationShape = z.object({
  operationId: z.string(),
  security: z.array(z.unknown()),
  parameters: z.array(
    z.object({ name: z.string(), in: z.string(), schema: z.record(z.string(), z.unknown()) }),
  ),
  requestBody: z.unknown().optional(),
  responses: z.record(z.string(), z.union([reference, responseShape])),
});
const documentShape = z.object({ paths: z.record(z.string(), z.record(z.string(), operationShape)) });

export interface DescribedCall {
  readonly operationId: string;
  readonly method: string;
  /** With `{id}` in it. */
  readonly path: string;
  readonly needsToken: boolean;
  readonly takesBody: boolean;
  readonly parameters: z.output<typeof operationShape>['parameters'];
  /** All that it says, `default` among them. */
  readonly statuses: readonly string[];
}

export interface DescribedApi {
  readonly calls: readonly DescribedCall[];
  /** What is wrong with an answer to this call, by the description; none if nothing is. */
  faultsOf(call: DescribedCall, answer: Answer): string[];
}

/** @param document OpenAPI 3.1 */
export function readDescription(document: object): DescribedApi {
  const validate = createValidator(document);
  const { paths } = documentShape.parse(document);
  const calls = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, each]): DescribedCall => {
      const { operationId, security, requestBody, parameters, responses } = each;
      return {
        ...{ operationId, method: method.toUpperCase(), path, parameters },
        needsToken: security.length > 0,
        takesBody: requestBody !== undefined,
        statuses: Object.keys(responses),
      };
    }),
  );

  return {
    calls,
    faultsOf({ method, path }, { status, headers, body }) {
      const responses = paths[path]?.[method.toLowerCase()]?.responses ?? {};
      const key = String(status) in responses ? String(status) : 'default';
      let pointer = pointerTo('paths', path, method.toLowerCase(), 'responses', key);
      let described: unknown = responses[key];
      const referred = reference.safeParse(described);
      if (referred.success) {
        pointer = referred.data.$ref;
        described = valueAt(document, pointer);
      }
      const { headers: promised, content } = responseShape.parse(described);
      const faults = Object.entries(promised).flatMap(([name, header]) => {
        const at = reference.parse(header).$ref;
        const { required = false, schema } = z
          .object({ required: z.boolean().optional(), schema: z.object({ type: z.string() }) })
          .parse(valueAt(document, at));
        const value = headers.get(name);
        if (value === null) return required ? [`the header ${name} is missing`] : [];
        return validate(`${at}/schema`, schema.type === 'integer' ? Number(value) : value);
      });
      if (key === 'default' && status < 400) faults.push(`${status} is no answer that is described`);
      const [type = ''] = (headers.get('content-type') ?? '').split(';', 1);
      if (status === 304) return faults;
      if (!(type in content)) return [...faults, `it is ${type}, not ${Object.keys(content).join(' or ')}`];
      return [...faults, ...validate(`${pointer}${pointerTo('content', type, 'schema').slice(1)}`, body)];
    },
  };
}

/** Checks values against the schemas in a document: what is wrong with a value by the schema at a pointer. */
export function createValidator(document: object): (pointer: string, value: unknown) => string[] {
  const ajv = new Ajv2020({
    ...{ strict: true, allErrors: true },
    // What a reference says more is said beside it.
    ...{ strictTypes: false, strictRequired: false },
  });
  // Its default export is that of CommonJS.
  Reflect.apply(addFormats.default, undefined, [ajv]);
  // It is no schema itself.
  ajv.addVocabulary(Object.keys(document));
  ajv.addSchema(document, 'document', undefined, false);
  return (pointer, value) => {
    const check = ajv.getSchema(`document${pointer}`);
    if (check === undefined) throw new Error(`there is no schema at ${pointer}`);
    if (check(value) === true) return [];
    return (check.errors ?? []).map(
      ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
    );
  };
}

function pointerTo(...names: string[]): string {
  return `#/${names.map((name) => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`;
}

export function valueAt(document: unknown, pointer: string): unknown {
  let value = document;
  for (const part of pointer.slice(2).split('/')) {
    const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    value = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  }
  return value;
}

/** Every `$ref` in a document. */
export function referencesIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = '$ref' in value && typeof value.$ref === 'string' ? [value.$ref] : [];
  return [...own, ...Object.values(value).flatMap(referencesIn)];
}
