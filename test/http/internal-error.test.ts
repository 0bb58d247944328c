// A failure that nobody foresaw tells a caller nothing, and the log everything.
import test from 'ava';
import { createKeys } from '../../src/redis/keys.ts';
import { errorOf, linesOf } from '../support/answers.ts';
import { rowsOf } from '../support/rows.ts';
import { openWorld, type World } from '../support/world.ts';

const path = '/api/v1/internal/orchestrators/kept/deregister';
let world: World;
test.before(async () => {
  world = await openWorld();
});
test.after.always(() => world.close());

test('an unforeseen failure is a 500 without its cause, which is in the log, and leaves every row', async (t) => {
  await world.api.post('/api/v1/internal/orchestrators/register', { organization_id: 'kept' });
  const message = { message_type: 'monitoring', content: 'x' };
  await world.api.post('/api/v1/internal/orchestrators/kept/messages', message);
  // The organization is the last that goes: by then its message and its instance are deleted.
  await world.sql(
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN RAISE EXCEPTION 'secret-cause'; END $$`,
  );
  await world.sql(
    'CREATE TRIGGER refused BEFORE DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION refuse()',
  );

  const answer = await world.api.delete(path);

  errorOf(t, answer, 500, 'internal_error');
  t.false(JSON.stringify(answer.body).includes('secret-cause'));
  const { instance, organization } = await rowsOf(world, 'kept');
  t.truthy(instance);
  t.truthy(organization);
  t.is((await world.sql("SELECT 1 FROM orchestrator_messages WHERE orchestrator_id = 'kept'")).length, 1);

  t.deepEqual(await linesOf(world.api, { level: 'ERROR' }), [`ERROR - DELETE ${path} failed`]);
  const { logs } = createKeys(world.settings.redis.prefix);
  const entries = await world.redis.xrange(logs, '-', '+');
  const records = entries.flatMap(([, [, lines = '']]) => lines.trimEnd().split('\n'));
  const record = records.find((line) => line.includes('"level":"ERROR"'));
  const { error } = JSON.parse(record ?? '');
  t.is(error.message, 'secret-cause');
  t.is(error.code, 'P0001');
});
