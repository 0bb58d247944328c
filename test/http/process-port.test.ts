import test from 'ava';
import { dataOf, errorOf } from '../support/answers.ts';
import { createApi } from '../support/api.ts';
import { asksForTokens, newSecretKey, tokenOf } from '../support/tokens.ts';
import { openWorld } from '../support/world.ts';

const key = newSecretKey();
const world = await openWorld({ settings: { ...asksForTokens(key), http: { processPort: 0 } } });
test.after.always(() => world.close());
const { controller } = world.replica(0);
const process = createApi(controller.processUrl);

test('health and metrics have a port of their own, without a token', async (t) => {
  t.not(new URL(controller.processUrl).port, new URL(controller.url).port);
  for (const path of ['/health', '/health/live', '/health/ready', '/metrics'])
    t.is((await process.get(path)).status, 200, path);
});

test('they are not on the port of the API then, and the API is not on theirs', async (t) => {
  for (const path of ['/health', '/health/live', '/health/ready', '/metrics'])
    errorOf(t, await world.api.get(path), 404, 'not_found');
  const path = '/api/v1/controller/organizations';
  const token = await tokenOf(key, 'admin');
  dataOf(t, await createApi(controller.url, token).get(path));
  for (const elsewhere of [path, '/docs', '/openapi.json', '/ws/?EIO=4&transport=polling'])
    errorOf(t, await createApi(controller.processUrl, token).get(elsewhere), 404, 'not_found');
});

test('the description of the API stays with it', async (t) => {
  const { status, body } = await world.api.get('/openapi.json');
  t.is(status, 200);
  t.truthy(body.paths['/health/ready']);
});

test('it is a port like another: one that is taken is said so, at the start', async (t) => {
  const taken = Number(new URL(controller.processUrl).port);
  await t.throwsAsync(world.grow({ http: { processPort: taken } }), {
    message: `Port ${taken} on 127.0.0.1 is already in use`,
  });
});
