// What it costs to tell what is wrong with a payload.
import test from 'ava';
import { createJsonSchemas } from '../../src/fleet/json.ts';

const { json, jsonObject } = createJsonSchemas({ metadataBytes: 32_768, jsonDepth: 32 });

/** Milliseconds of this thread's own time: neither what else runs on the machine counts, nor other files of tests. */
function costOf(work: () => unknown): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}

for (const teaser of ['://a:b', '-sk-', '://:::::::', 'bearer '])
  test(`faults below a key of ${teaser} without end are told at once`, (t) => {
    const key = teaser.repeat(Math.ceil(900_000 / teaser.length));
    const payload = { [key]: Array.from({ length: 200 }, () => '\u0000') };
    for (const schema of [json, jsonObject]) {
      let issues: readonly { path: PropertyKey[] }[] = [];
      const cost = costOf(() => {
        issues = schema.safeParse(payload).error?.issues ?? [];
      });
      t.true(cost < 500, `${cost} ms`);
      t.is(issues.filter(({ path }) => path.length > 0).length, 100);
      t.is(issues.at(-1)?.path.join('').length, 64 + '…99'.length);
    }
  });

test('a credential in a key that is repeated is hidden, however long the key is', (t) => {
  for (const [key, shown] of [
    ['postgres://user:secret@host', 'postgres://[hidden]@host'],
    [`sk-1${'x'.repeat(10_000)}`, '[hidden]'],
    [`-----BEGIN PRIVATE KEY-----${'x'.repeat(10_000)}-----END PRIVATE KEY-----`, '[hidden]'],
  ] as const)
    t.deepEqual(json.safeParse({ [key]: '\u0000' }).error?.issues[0]?.path, [shown]);
});
