// What is told of a store that goes away and comes back, whoever meets it how often and in which order.
import test from 'ava';
import { createAvailability } from '../src/availability.ts';
import { createLogs } from '../src/log.ts';

function told() {
  const lines: string[] = [];
  const ring = { write: (line: string) => void lines.push(String(JSON.parse(line).message)) };
  const { log } = createLogs({ level: 'silent', ringLevel: 'debug', nodeId: 'node-x', ring });
  return { lines, store: createAvailability('Postgres', log) };
}

test('an outage is one line, and its end is one', (t) => {
  const { lines, store } = told();
  store.failed(new Error('refused'));
  store.failed(new Error('refused again'));
  store.answered(performance.now());
  store.answered(performance.now());
  t.is(lines.length, 2);
  t.is(lines[0], 'Postgres is away: refused');
  t.regex(lines[1] ?? '', /^Postgres is back, after 0\.\d s$/);
});

test('an answer to what was asked before the outage is no end of it', (t) => {
  const { lines, store } = told();
  const before = performance.now();
  store.failed(new Error('refused'));
  store.answered(before);
  t.is(lines.length, 1);
});

test('a failure of what was asked during an outage that is over is no new one; of what is asked from then on it is', (t) => {
  const { lines, store } = told();
  const during = performance.now();
  store.failed(new Error('refused'), during);
  store.answered(performance.now());
  store.failed(new Error('late'), during);
  t.is(lines.length, 2);
  store.failed(new Error('refused'), performance.now());
  t.is(lines.length, 3);
});
