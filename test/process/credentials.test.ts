// A credential that is handed to the controller comes out of it nowhere: in no answer, event, entry of Redis or line.
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { createKeys, type Keys } from '../../src/redis/keys.ts';
import type { Api } from '../support/api.ts';
import { openGuard } from '../support/guarded.ts';
import { connectOrchestrator } from '../support/orchestrator.ts';
import { ordinarySettings, plantedObjects, plantedTexts, secrets } from '../support/planted.ts';
import { type ReplicaProcess, startReplicaProcess } from '../support/replica-process.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const controller = '/api/v1/controller';
const internal = '/api/v1/internal';
// One replica as a process, whose output can be read, and one of the test's own that shares its stores.
const opening = new AsyncDisposableStack();
let world: World;
let replica: ReplicaProcess;
let api: Api;
let keys: Keys;
test.before(async () => {
  world = opening.adopt(await openWorld(), (it) => it.close());
  const guard = opening.adopt(openGuard(), (it) => it.close());
  const { database, redis, independence } = world.settings;
  const env = {
    PATH: process.env.PATH,
    NODE_ENV: 'test',
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    REDIS_PREFIX: redis.prefix,
    INDEPENDENCE_FOLDER: independence.folder,
    LOG_LEVEL: 'debug',
  };
  replica = opening.adopt(await startReplicaProcess(env, guard), async (it) => void (await it.stop()));
  api = replica.api;
  keys = createKeys(redis.prefix);
});
test.after.always(() => opening.disposeAsync());

let made = 0;
const freshId = () => {
  made += 1;
  return `kept-${made}`;
};

/** All that was answered and sent to orchestrators since it was last asked. */
let told: string[] = [];
function listen(answer: { status: number; body: unknown }): { status: number; body: Record<string, string> } {
  told.push(JSON.stringify(answer.body));
  return { status: answer.status, body: Object(answer.body) };
}
function toldSoFar(): string {
  const all = told.join('\n');
  told = [];
  return all;
}

/** Everything that anybody may read about one orchestrator, and all that stands in Redis and in the output. */
async function readEverything(id: string): Promise<string> {
  for (const each of [api, world.api])
    for (const path of [
      `${controller}/organizations`,
      `${controller}/organizations/${id}`,
      `${controller}/orchestrators`,
      `${controller}/orchestrators/${id}`,
      `${controller}/orchestrators/live`,
      `${controller}/orchestrators/live/${id}`,
      `${internal}/orchestrators/${id}/messages`,
      `${internal}/messages`,
      `${internal}/logs?limit=1000`,
    ])
      if (listen(await each.get(path)).status !== 200) throw new Error(`${path} was not answered`);
  return [toldSoFar(), await readRedis(), replica.output()].join('\n');
}

/** The presence of all replicas, and the lines of the log with all their fields. */
async function readRedis(): Promise<string> {
  const presence = await Promise.all(
    (await world.redis.keys(`${keys.presence('')}*`)).map((key) => world.redis.hgetall(key)),
  );
  return JSON.stringify([presence, await world.redis.xrevrange(keys.logs, '+', '-')]);
}

function requireHidden(planted: readonly string[], shown: string): void {
  for (const secret of planted) {
    const at = shown.indexOf(secret);
    if (at >= 0) throw new Error(`shown: …${shown.slice(Math.max(0, at - 300), at + 100)}…`);
  }
}

/** Standard output comes a moment later; a line of this very call says that all before it is there. */
async function outputHas(text: string): Promise<void> {
  await until(`${text} in the output`, () => replica.output().includes(text));
}

test.serial('no credential of metadata, features, settings or a message is ever shown', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(plantedObjects, { minLength: 9, maxLength: 9 }),
      fc.array(plantedTexts, { minLength: 3, maxLength: 3 }),
      async (objects, texts) => {
        const id = freshId();
        const values = objects.map((each) => each.value);
        const take = () => values.shift();
        const planted = [...objects.flatMap((each) => each.secrets), ...texts.map((each) => each.secret)];
        const post = async (path: string, body: unknown, status: number) => {
          const answer = listen(await api.post(path, body));
          if (answer.status !== status) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
        };
        const [name = '', location = ''] = texts.map((each) => each.text);
        const shared = { features: take(), metadata: take() };
        await post(
          `${controller}/organizations`,
          { org_id: id, name, location, ...shared, settings: take() },
          201,
        );
        await post(`${controller}/orchestrator-instances`, { org_id: id, name, location, ...shared }, 201);
        const [internal_url, image_name] = texts.map((each) => each.text);
        await post(
          `${internal}/orchestrators/register`,
          { organization_id: id, internal_url, image_name },
          200,
        );
        // No call writes these two: what runs the orchestrators does.
        await world.sql(
          'UPDATE orchestrator_instances SET session_config = $1, phoenix_endpoint = $2 WHERE orchestrator_id = $3',
          [JSON.stringify(take()), texts[0]?.text, id],
        );
        const metadata = { ...take(), name, location, features: take() };
        const orchestrator = await connectOrchestrator(replica.url);
        told.push(JSON.stringify(await orchestrator.handshake(id, { metadata })));
        // A registration makes the replica write the entry of its presence anew.
        await post(`${internal}/orchestrators/register`, { organization_id: id, features: take() }, 200);
        await post(`${internal}/orchestrators/heartbeat`, { orchestrator_id: id, features: take() }, 200);
        await post(
          `${internal}/orchestrators/${id}/messages`,
          { message_type: 'monitoring', content: 'x', metadata: { ...take(), note: texts.at(-1)?.text } },
          201,
        );
        orchestrator.socket.emit('provisioning_request', {});
        await until('both configurations', () => {
          const configs = orchestrator.received.filter((each) => each.event === 'provision_config');
          return configs.length === 2;
        });
        told.push(JSON.stringify(orchestrator.received));
        await outputHas(`Provisioning sent to ${id}`);
        const shown = await readEverything(id);
        orchestrator.close();
        requireHidden(planted, shown);
      },
    ),
    // A smaller example would say no more, and take minutes to find.
    { numRuns: 12, endOnFailure: true },
  );
  t.pass();
});

test.serial('presence that is restored after Redis lost it holds no credential either', async (t) => {
  const id = freshId();
  const [secret = ''] = fc.sample(secrets, 1);
  const orchestrator = await connectOrchestrator(replica.url);
  await orchestrator.handshake(id, { metadata: { note: 'kept', api_key: secret } });
  await world.redis.del(await world.redis.keys(`{${world.settings.redis.prefix}}*`));
  const entry = await until('the presence to be restored', () =>
    world.redis.hget(keys.presence(replica.nodeId), id),
  );
  t.deepEqual(JSON.parse(entry).metadata, { note: 'kept', api_key: '[hidden]' });
  // Until all are known again nobody is told who is connected, nor is the next test.
  await until('live', async () => (await world.api.get(`${controller}/orchestrators/live`)).status === 200);
  orchestrator.close();
});

test.serial('what hides credentials leaves ordinary settings as they are', async (t) => {
  const id = freshId();
  const values = { features: ordinarySettings, metadata: ordinarySettings };
  const organization = { org_id: id, name: id, ...values, settings: ordinarySettings };
  const { body } = await api.post(`${controller}/organizations`, organization);
  for (const field of ['features', 'settings', 'metadata']) t.deepEqual(body.data[field], ordinarySettings);

  const orchestrator = await connectOrchestrator(replica.url);
  await orchestrator.handshake(id, {
    metadata: { ...ordinarySettings, name: 'N', features: ordinarySettings },
  });
  const { data } = await orchestrator.event('provision_config');
  const metadata = { ...ordinarySettings, name: 'N', features: ordinarySettings };
  t.deepEqual(data.features, ordinarySettings);
  t.deepEqual(data.settings, ordinarySettings);
  t.deepEqual(data.metadata, metadata);
  const live = await world.api.get(`${controller}/orchestrators/live/${id}`);
  t.deepEqual(live.body.data.metadata, metadata);
  orchestrator.close();
});

test.serial('a message passes through unchanged, and so does what an orchestrator answers', async (t) => {
  const id = freshId();
  const [one = '', two = ''] = fc.sample(secrets, 2);
  const orchestrator = await connectOrchestrator(replica.url);
  orchestrator.socket.on('login', (_message, acknowledge) => acknowledge({ token: two }));
  await orchestrator.handshake(id);
  const { body } = await api.post(`${internal}/orchestrators/${id}/send`, {
    ...{ type: 'login', data: { password: one }, ack: true },
  });
  t.deepEqual(body.ack, { token: two });
  t.deepEqual((await orchestrator.event('login')).data, { password: one });
  await outputHas(`Sent message to orchestrator ${id}`);
  requireHidden([one, two], [await readRedis(), replica.output()].join('\n'));
  await api.post(`${internal}/orchestrators/${id}/messages`, {
    ...{ message_type: 'recommendation', content: `use password=${one}` },
  });
  const { body: list } = await api.get(`${internal}/orchestrators/${id}/messages`);
  t.is(list.messages[0].content, `use password=${one}`, 'what people write stays');
  orchestrator.close();
});

/** Registrations that are refused, or fail. */
function refused(t: ExecutionContext, secret: string): [what: string, body: string][] {
  const whole = {
    organization_id: freshId(),
    database_url: `postgres://user:${secret}@db/x`,
    redis_url: `redis://:${secret}@cache`,
    environment_variables: { LICENSE: secret, nested: { PLAIN: secret } },
  };
  const long = 'x'.repeat(40_000);
  const changed = (changes: object) => JSON.stringify({ ...whole, ...changes });
  const bodies: [string, string][] = [
    ['a bad id', changed({ organization_id: `-${'-'.repeat(9)}` })],
    ['no id', changed({ organization_id: undefined })],
    ['URLs of the wrong type', changed({ database_url: [secret], redis_url: { [secret]: 1 } })],
    ['URLs that are too long', changed({ database_url: secret + long, redis_url: secret + long })],
    ['variables as a text', changed({ environment_variables: secret })],
    ['variables as a list', changed({ environment_variables: [secret] })],
    ['variables that are too many', changed({ environment_variables: { A: secret + long } })],
    [
      'variables that no store takes',
      changed({ environment_variables: { A: `${secret}\u0000`, B: '\ud800' } }),
    ],
    ['variables that are too deep', changed({ environment_variables: deep(40, secret) })],
    ['a key that is itself one', changed({ features: { [`sk-${secret}`]: '\u0000' } })],
    ['a value of another field', changed({ monitoring: secret, features: secret })],
  ];
  for (let length = 1; length < changed({}).length; length += 7)
    bodies.push(['JSON that ends early', changed({}).slice(0, length)]);
  for (const broken of [
    `{"database_url":${secret}}`,
    `{"database_url":x${secret}}`,
    `{"redis_url":"${secret}" "a"}`,
    `"${secret}`,
    secret,
  ])
    bodies.push(['no JSON', broken]);
  t.true(bodies.length > 20);
  return bodies;
}

function deep(levels: number, innermost: unknown): unknown {
  return levels === 0 ? innermost : { a: deep(levels - 1, innermost) };
}

test.serial('a registration that is refused is not repeated to its sender, nor in the log', async (t) => {
  const [secret = ''] = fc.sample(secrets, 1);
  // Of JSON that does not parse, V8 would quote ten characters.
  const pieces = Array.from({ length: secret.length - 5 }, (_, at) => secret.slice(at, at + 6));
  for (const [what, body] of refused(t, secret)) {
    const answer = await api.request(`${internal}/orchestrators/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    t.is(answer.status, 400, what);
    const shown = JSON.stringify(answer.body);
    t.deepEqual(
      pieces.filter((piece) => shown.includes(piece)),
      [],
      `${what}: ${shown}`,
    );
  }
  const orchestrator = await connectOrchestrator(replica.url);
  orchestrator.socket.emit('handshake', {
    data: {
      orchestrator_id: secret.repeat(10),
      metadata: { name: [secret], features: secret, [`sk-${secret}`]: '\u0000' },
    },
  });
  t.is((await orchestrator.event('error')).code, 'invalid_handshake');
  await orchestrator.closed();
  requireHidden(
    [secret],
    [JSON.stringify(orchestrator.received), await readRedis(), replica.output()].join('\n'),
  );
});

test.serial('a registration that fails in Postgres, which quotes it, is not told', async (t) => {
  const id = freshId();
  const [secret = ''] = fc.sample(secrets, 1);
  await world.sql(
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       RAISE EXCEPTION 'cannot reach %, %', NEW.database_url, NEW.redis_url
         USING DETAIL = NEW.environment_variables::text, HINT = NEW.environment_variables::text;
     END $$`,
  );
  await world.sql(
    'CREATE TRIGGER refused BEFORE UPDATE ON orchestrator_instances FOR EACH ROW EXECUTE FUNCTION refuse()',
  );
  const answer = await api.post(`${internal}/orchestrators/register`, {
    organization_id: id,
    database_url: `postgres://user:${secret}@db/x`,
    redis_url: `redis://:${secret}@cache`,
    environment_variables: { LICENSE: secret },
  });
  t.is(answer.status, 500);
  told.push(JSON.stringify(answer.body));
  await outputHas('cannot reach postgres://[hidden]@db/x, redis://[hidden]@cache');
  requireHidden([secret], [toldSoFar(), await readRedis(), replica.output()].join('\n'));
});
