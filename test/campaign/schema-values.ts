// Owns values that a JSON Schema allows: the schemas are those that the controller describes itself with.
import fc from 'fast-check';

export type JsonSchema = Record<string, unknown>;

/** What the world knows, and a schema cannot tell. */
export interface Known {
  /** Identifiers, for a text of this pattern; undefined where there is none. */
  ids(pattern: string): fc.Arbitrary<string> | undefined;
  /** By the name of a property. */
  readonly named: Readonly<Record<string, fc.Arbitrary<unknown>>>;
}

const understood = new Set([
  // What must not be is drawn as well: it is refused like any other fault.
  ...[
    '$schema',
    'title',
    'description',
    'examples',
    'not',
    'default',
    'format',
    'type',
    'enum',
    'const',
    'anyOf',
    'oneOf',
  ],
  ...['pattern', 'minLength', 'maxLength', 'minimum', 'maximum', 'properties', 'required', 'items'],
  ...['minItems', 'maxItems', 'propertyNames', 'additionalProperties'],
]);

/** @throws for a keyword that it does not understand: what is drawn would not be what the schema means */
export function valuesOf(schema: JsonSchema, known: Known): fc.Arbitrary<unknown> {
  for (const keyword of Object.keys(schema))
    if (!understood.has(keyword)) throw new Error(`no values can be drawn for the keyword ${keyword} yet`);
  if ('const' in schema) return fc.constant(schema.const);
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(alternatives)) return fc.oneof(...alternatives.map((each) => valuesOf(each, known)));
  if (Array.isArray(schema.type))
    return fc.oneof(...schema.type.map((type) => valuesOf({ ...schema, type }, known)));
  switch (schema.type) {
    case undefined:
      return fc.jsonValue({ maxDepth: 3 });
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.integer({
        min: Math.max(numberIn(schema, 'minimum', -1_000), -(2 ** 31)),
        max: Math.min(numberIn(schema, 'maximum', 2 ** 31 - 1), 2 ** 31 - 1),
      });
    case 'number':
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case 'string':
      return textsOf(schema, known);
    case 'array':
      return fc.array(valuesOf(schemaIn(schema.items), known), {
        minLength: numberIn(schema, 'minItems', 0),
        maxLength: Math.min(numberIn(schema, 'maxItems', 4), 4),
      });
    case 'object':
      return objectsOf(schema, known);
    default:
      throw new Error(`no values can be drawn for the type ${String(schema.type)} yet`);
  }
}

/** One for all: its tables are large. */
const anyText = fc.string({ maxLength: 100, unit: 'grapheme' });

function textsOf(schema: JsonSchema, known: Known): fc.Arbitrary<string> {
  if (typeof schema.pattern === 'string') {
    const matching = fc.stringMatching(new RegExp(schema.pattern), { size: 'small' });
    const ids = known.ids(schema.pattern);
    return ids === undefined ? matching : fc.oneof({ weight: 9, arbitrary: ids }, matching);
  }
  if (schema.minLength === undefined && schema.maxLength === undefined) return anyText;
  const minLength = numberIn(schema, 'minLength', 0);
  const maxLength = numberIn(schema, 'maxLength', 100);
  return fc.oneof(
    { weight: 9, arbitrary: fc.string({ minLength, maxLength: Math.min(maxLength, 100), unit: 'grapheme' }) },
    fc.constantFrom('x'.repeat(minLength), 'x'.repeat(Math.min(maxLength, 10_000))),
  );
}

function objectsOf(schema: JsonSchema, known: Known): fc.Arbitrary<unknown> {
  const properties = Object.entries(schemaIn(schema.properties)).map(([name, property]) => {
    const any = valuesOf(schemaIn(property), known);
    const named = Object.hasOwn(known.named, name) ? known.named[name] : undefined;
    return [name, named === undefined ? any : fc.oneof({ weight: 2, arbitrary: named }, any)];
  });
  const required = Array.isArray(schema.required) ? schema.required : [];
  const named = fc.record<Record<string, unknown>, string>(Object.fromEntries(properties), {
    requiredKeys: required,
  });
  const { additionalProperties } = schema;
  if (typeof additionalProperties !== 'object') return named;
  const others = fc.dictionary(fc.string(), valuesOf(schemaIn(additionalProperties), known), { maxKeys: 3 });
  return fc.tuple(others, named).map(([more, those]) => ({ ...more, ...those }));
}

function numberIn(schema: JsonSchema, keyword: string, otherwise: number): number {
  const value = schema[keyword];
  return typeof value === 'number' ? value : otherwise;
}

function schemaIn(value: unknown): JsonSchema {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}
