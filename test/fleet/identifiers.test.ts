// Ids of one replica: no two are the same, and they sort as they were made.
import test from 'ava';
import { newMessageId } from '../../src/fleet/identifiers.ts';

test('message ids sort in the order in which one replica made them, also within a millisecond', (t) => {
  const startedAt = performance.now();
  const ids = Array.from({ length: 10_000 }, () => newMessageId('org-1'));
  const tookMs = performance.now() - startedAt;

  t.true(tookMs < 10_000, 'more than one in a millisecond');
  t.is(new Set(ids).size, ids.length);
  t.is(
    ids.findIndex((id, at) => at > 0 && id <= (ids[at - 1] ?? '')),
    -1,
  );
  for (const id of ids) if (!/^msg_org-1_[0-9a-f]{32}$/.test(id)) t.fail(id);
});
