// Owns how schemas are described to others: as JSON Schema 2020-12, what has a name of its own as a component.
import { z } from 'zod';

export type JsonSchema = Record<string, unknown>;

export interface Describer {
  /**
   * What a value of this schema looks like, `input` before it is parsed and `output` behind it. What has an `id` in its
   * metadata stands there as a reference to a component.
   */
  describe(schema: z.ZodType, io: 'input' | 'output'): JsonSchema;
  /** Those that were referred to so far, by name. */
  readonly components: Readonly<Record<string, JsonSchema>>;
}

const local = '#/$defs/';

/** Source: https://json-schema.org/draft/2020-12 (components as in OpenAPI 3.1 and AsyncAPI 3) */
export function createDescriber(): Describer {
  const components: Record<string, JsonSchema> = {};

  function describe(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
    const generated = z.toJSONSchema(schema, {
      io,
      unrepresentable: 'any',
      override({ zodSchema: { _zod: zod }, jsonSchema }) {
        // Left out where a value is transformed; ours stand for themselves.
        if (zod.def.type === 'default') jsonSchema.default = zod.def.defaultValue;
      },
    });
    const { $schema: _dialect, $defs = {}, ...described } = generated;
    for (const [name, definition] of Object.entries($defs)) add(name, referring(definition));
    return asSchema(referring(described));
  }

  function add(name: string, described: unknown): void {
    const known = components[name];
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(described))
      throw new Error(`two schemas are called ${name}, and differ`);
    components[name] = asSchema(described);
  }

  return { describe, components };
}

/** The same with references to components, and without what is undefined. */
function referring(described: object): unknown {
  return JSON.parse(JSON.stringify(described), (key, value: unknown) =>
    key === '$ref' && typeof value === 'string' && value.startsWith(local)
      ? `#/components/schemas/${value.slice(local.length)}`
      : value,
  );
}

function asSchema(value: unknown): JsonSchema {
  return z.record(z.string(), z.unknown()).parse(value);
}
