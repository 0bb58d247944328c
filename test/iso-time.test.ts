// Times as text, beside what JavaScript itself writes.
import test from 'ava';
import fc from 'fast-check';
import { isoTime } from '../src/iso-time.ts';

test('every time is written as toISOString writes it, in whichever order they come', (t) => {
  fc.assert(
    fc.property(fc.array(fc.date({ noInvalidDate: true }), { minLength: 1 }), (dates) => {
      for (const date of dates) t.is(isoTime(date), date.toISOString());
    }),
  );
  for (const text of ['2026-11-24T23:59:59.999Z', '2026-11-25T00:00:00.000Z', '1969-12-31T23:59:59.999Z'])
    t.is(isoTime(new Date(text)), text);
  t.throws(() => isoTime(new Date(Number.NaN)), { instanceOf: RangeError });
});
