// The documents that describe what can be called and heard, as their readers' tools take them.
import { Parser } from '@asyncapi/parser';
import { Validator } from '@seriousme/openapi-schema-validator';
import test from 'ava';
import { z } from 'zod';
import { createValidator, referencesIn, valueAt } from '../support/described.ts';
import { openWorld } from '../support/world.ts';

const withExamples = z.object({ examples: z.array(z.unknown()).default([]) });
const world = await openWorld();
const openApi = (await world.api.get('/openapi.json')).body;
const asyncApi = (await world.api.get('/asyncapi.json')).body;
test.after.always(() => world.close());

test('/openapi.json is OpenAPI 3.1', async (t) => {
  const { valid, errors } = await new Validator().validate(openApi);
  t.true(valid, JSON.stringify(errors));
  t.regex(openApi.openapi, /^3\.1\./);
});

test('/asyncapi.json is AsyncAPI 3', async (t) => {
  const { document, diagnostics } = await new Parser().parse(JSON.stringify(asyncApi));
  // That there is a newer version is all there is to say.
  const told = diagnostics.filter(({ code }) => code !== 'asyncapi-latest-version');
  t.deepEqual(told, []);
  t.is(document?.version(), '3.0.0');
});

for (const [name, document] of Object.entries({ openApi, asyncApi })) {
  test(`${name}: every reference leads somewhere, and every component is referred to`, (t) => {
    const references = new Set(referencesIn(document));
    for (const pointer of references)
      t.true(pointer.startsWith('#/') && valueAt(document, pointer) !== undefined, pointer);
    const components: [string, object][] = Object.entries(document.components);
    t.true(components.length > 2);
    for (const [kind, members] of components)
      for (const member of Object.keys(members))
        t.true(kind === 'securitySchemes' || references.has(`#/components/${kind}/${member}`), member);
  });

  test(`${name}: every schema is one, and its examples are examples of it`, (t) => {
    const validate = createValidator(document);
    let examples = 0;
    for (const [at, schema] of Object.entries<{ examples?: unknown[] }>(document.components.schemas)) {
      t.notDeepEqual(validate(`#/components/schemas/${at}`, Symbol('no JSON')), [], at);
      for (const example of schema.examples ?? []) {
        t.deepEqual(validate(`#/components/schemas/${at}`, example), [], at);
        examples += 1;
      }
    }
    t.true(examples > 3);
  });

  test(`${name} says the version of the package, and no address but its own`, (t) => {
    t.regex(document.info.version, /^\d+\.\d+\.\d+$/);
    t.deepEqual(JSON.stringify(document).match(/https?:[^"\s)]*/g), null);
  });
}

test('examples of failures and of what is sent are such', (t) => {
  const validate = createValidator(openApi);
  const type = 'content/application~1json';
  for (const [code, { content }] of Object.entries<{ content: Record<string, { example?: object }> }>(
    openApi.components.responses,
  )) {
    const example = content['application/json']?.example;
    if (code !== 'failure') t.like(example, { success: false, code });
    if (example !== undefined)
      t.deepEqual(validate(`#/components/responses/${code}/${type}/schema`, example), [], code);
  }
  let sent = 0;
  for (const [path, { post, put }] of Object.entries<Record<string, { requestBody?: object }>>(openApi.paths))
    for (const [method, operation] of Object.entries({ post, put })) {
      if (operation?.requestBody === undefined) continue;
      const at = `#/paths/${path.replaceAll('/', '~1').replaceAll('{', '%7B').replaceAll('}', '%7D')}/${method}/requestBody/${type}/schema`;
      const { examples } = withExamples.parse(valueAt(openApi, at));
      for (const example of examples) t.deepEqual(validate(at, example), [], path);
      sent += examples.length;
    }
  t.true(sent > 5);
});

test('examples of events are examples of their payloads', (t) => {
  const validate = createValidator(asyncApi);
  for (const [name, { examples = [] }] of Object.entries<{ examples?: { payload: unknown }[] }>(
    asyncApi.components.messages,
  ))
    for (const { payload } of examples)
      t.deepEqual(validate(`#/components/messages/${name}/payload`, payload), [], name);
});

test('every call has a name of its own, a summary, and a tag that is described', (t) => {
  const operations = Object.values<object>(openApi.paths).flatMap((each) => Object.values(each));
  const names = operations.map(({ operationId }) => operationId);
  t.is(new Set(names).size, operations.length);
  const tags = new Set(openApi.tags.map(({ name }: { name: string }) => name));
  for (const { operationId, summary, tags: own } of operations) {
    t.regex(operationId, /^[a-z][A-Za-z]+$/);
    t.true(summary.length > 0, operationId);
    t.true(own.length === 1 && tags.has(own[0]), operationId);
  }
  t.is(tags.size, openApi.tags.length);
});

test('an answer says nothing that it does not name', (t) => {
  const open: string[] = [];
  const look = (value: unknown, at: string): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('properties' in value && 'type' in value && Reflect.get(value, 'additionalProperties') !== false)
      open.push(at);
    for (const [key, inner] of Object.entries(value)) look(inner, `${at}/${key}`);
  };
  look(openApi.components.schemas, 'schemas');
  for (const [path, operations] of Object.entries<object>(openApi.paths))
    for (const [method, { responses }] of Object.entries(operations)) look(responses, `${method} ${path}`);
  t.deepEqual(open, []);
});
