// How much JSON a call or a handshake may bring: what is at the limit passes, one byte or one level more is refused.
import test, { type ExecutionContext } from 'ava';
import { dataOf, errorOf, fieldsOf } from '../support/answers.ts';
import type { Api } from '../support/api.ts';
import { openWorld, type Replica } from '../support/world.ts';

const controller = '/api/v1/controller';
const internal = '/api/v1/internal';
const shipped = { metadataBytes: 32_768, jsonDepth: 32 };
const narrow = { metadataBytes: 1_024, jsonDepth: 3 };
const world = await openWorld();
const narrower = await world.grow({ limits: narrow });
test.after.always(() => world.close());
test.before(async () => {
  for (const replica of world.replicas) await replica.connect('known', { metadata: { name: 'Known' } });
});

const replicas: [what: string, replica: Replica, limits: typeof shipped][] = [
  ['as shipped', world.replica(0), shipped],
  ['as configured', narrower, narrow],
];

let made = 0;
const freshId = () => {
  made += 1;
  return `made-${made}`;
};

/** An object of so many bytes as JSON, in fewer UTF-16 code units than bytes: `ä` has two. */
function ofBytes(bytes: number): { note: string } {
  const room = bytes - JSON.stringify({ note: '' }).length;
  return { note: `${'ä'.repeat(Math.floor(room / 2))}${'a'.repeat(room % 2)}` };
}

/** An object with so many levels. */
function ofDepth(levels: number): Record<string, unknown> {
  return levels === 1 ? { note: 1 } : { note: ofDepth(levels - 1) };
}

/** Every call that brings JSON of a form that the controller does not prescribe, with the fields that do. */
const calls: [path: string, fields: string[], body: () => Record<string, unknown>][] = [
  [
    `${controller}/organizations`,
    ['features', 'settings', 'metadata'],
    () => ({ org_id: freshId(), name: 'N' }),
  ],
  [
    `${controller}/orchestrator-instances`,
    ['features', 'metadata'],
    () => ({ org_id: freshId(), name: 'N' }),
  ],
  [
    `${internal}/orchestrators/register`,
    ['environment_variables', 'features'],
    () => ({ organization_id: freshId() }),
  ],
  [`${internal}/orchestrators/heartbeat`, ['features'], () => ({ orchestrator_id: 'known' })],
  [
    `${internal}/orchestrators/known/messages`,
    ['metadata'],
    () => ({ message_type: 'monitoring', content: 'x' }),
  ],
];

async function isAtLimit(
  t: ExecutionContext,
  api: Api,
  path: string,
  field: string,
  body: () => Record<string, unknown>,
  [most, more]: [unknown, unknown],
): Promise<string> {
  const taken = await api.post(path, { ...body(), [field]: most });
  t.true(taken.status === 200 || taken.status === 201, `${path} ${field}: ${JSON.stringify(taken.body)}`);
  const refused = await api.post(path, { ...body(), [field]: more });
  return errorOf(t, refused, 400, 'invalid_request', [`body.${field}`]).errors[0].message;
}

for (const [what, { api, open }, { metadataBytes, jsonDepth }] of replicas) {
  const tooLarge = `must not be larger than ${metadataBytes} bytes as JSON in UTF-8`;
  const tooDeep = `must not be nested more than ${jsonDepth} deep`;

  for (const [path, fields, body] of calls)
    for (const field of fields) {
      test(`${what}: POST ${path} takes ${metadataBytes} bytes of ${field}, and no more`, async (t) => {
        const values: [unknown, unknown] = [ofBytes(metadataBytes), ofBytes(metadataBytes + 1)];
        t.is(await isAtLimit(t, api, path, field, body, values), tooLarge);
      });

      test(`${what}: POST ${path} takes ${field} ${jsonDepth} deep, and no deeper`, async (t) => {
        const values: [unknown, unknown] = [ofDepth(jsonDepth), ofDepth(jsonDepth + 1)];
        t.is(await isAtLimit(t, api, path, field, body, values), tooDeep);
      });
    }

  test(`${what}: /send takes data ${jsonDepth} deep, of any size`, async (t) => {
    const path = `${internal}/orchestrators/known/send`;
    const send = (data: unknown) => api.post(path, { type: 'limits', data });
    fieldsOf(t, await send(ofDepth(jsonDepth)));
    fieldsOf(t, await send(ofBytes(metadataBytes + 1)));
    const { errors } = errorOf(t, await send(ofDepth(jsonDepth + 1)), 400, 'invalid_request', ['body.data']);
    t.is(errors[0].message, tooDeep);
  });

  const handshakes: [string, unknown, unknown, string][] = [
    ['large', ofBytes(metadataBytes), ofBytes(metadataBytes + 1), tooLarge],
    ['deep', ofDepth(jsonDepth), ofDepth(jsonDepth + 1), tooDeep],
  ];
  for (const [how, most, more, why] of handshakes)
    test(`${what}: the metadata of a handshake may be as ${how} as the limit, and no more`, async (t) => {
      const id = freshId();
      const taken = await open();
      t.is((await taken.handshake(id, { metadata: most })).orchestrator_id, id);
      t.deepEqual(dataOf(t, await api.get(`${controller}/orchestrators/${id}`)).metadata, most);

      const refused = await open();
      refused.socket.emit('handshake', { data: { orchestrator_id: id, metadata: more } });
      t.deepEqual(await refused.event('error'), {
        code: 'invalid_handshake',
        message: `data.metadata: ${why}`,
        retryable: false,
      });
      await refused.closed();
      t.deepEqual(dataOf(t, await api.get(`${controller}/orchestrators/${id}`)).metadata, most);
    });
}

test('the faults of what is too large are told beside it', async (t) => {
  const metadata = { ...ofBytes(shipped.metadataBytes), bad: 'a\u0000b' };
  const answer = await world.api.post(`${controller}/organizations`, {
    org_id: freshId(),
    name: 'N',
    metadata,
  });
  errorOf(t, answer, 400, 'invalid_request', ['body.metadata', 'body.metadata.bad']);
});
