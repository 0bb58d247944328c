// The judge of `npm run chaos`: each promise that is broken is found, and none that is kept is called broken.
import test from 'ava';
import { createLedger, slackMs } from './ledger.ts';

const timeoutMs = 5_000;
let messages = 0;
/** A frame that carries a call, taken by the controller so long ago. */
const frameOf = (call: number, agoMs = 0, message_id = `m-${++messages}`) => ({
  type: 'chaos',
  data: { call },
  message_id,
  timestamp: new Date(Date.now() - agoMs).toISOString(),
});

function open() {
  const ledger = createLedger();
  const call = (answer: number | 'nothing', to = 'x', through = 'node-a') => {
    const opened = ledger.open(to, through, timeoutMs);
    ledger.close(opened, answer);
    return opened;
  };
  const kinds = () => {
    ledger.judge();
    return ledger.breaches.map((breach) => breach.kind);
  };
  return { ledger, call, kinds };
}

test('calls that went as they were told are no breach, in whatever order they went through two replicas', (t) => {
  const { ledger, call, kinds } = open();
  for (const each of [call(200), call(202), call(504)]) ledger.handled('x', frameOf(each.number));
  const [first, second] = [call(202, 'x', 'node-a'), call(202, 'x', 'node-b')];
  ledger.handled('x', frameOf(second.number));
  ledger.handled('x', frameOf(first.number));
  for (const answer of [202, 409, 503, 504, 'nothing'] as const) call(answer);
  t.deepEqual(kinds(), []);
});

test('a 200 that nobody received is a breach', (t) => {
  const { call, kinds } = open();
  call(200);
  t.deepEqual(kinds(), ['told delivered, never received']);
});

for (const answer of [200, 202, 409, 504] as const)
  test(`a frame answered ${answer} that arrives after its deadline is a breach`, (t) => {
    const { ledger, call, kinds } = open();
    ledger.handled('x', frameOf(call(answer).number, timeoutMs + slackMs + 100));
    t.deepEqual(kinds(), ['arrived after its deadline']);
  });

test('two frames that change places are a breach', (t) => {
  const { ledger, call, kinds } = open();
  const [first, second] = [call(202), call(200)];
  ledger.handled('x', frameOf(second.number));
  ledger.handled('x', frameOf(first.number));
  t.deepEqual(kinds(), ['out of order']);
});

test('a call that nobody answered has no place in the order, but those around it keep theirs', (t) => {
  const { ledger, call, kinds } = open();
  const [before, unanswered, after] = [call(202), call('nothing'), call(202)];
  for (const each of [before, after, unanswered]) ledger.handled('x', frameOf(each.number));
  t.deepEqual(kinds(), []);
});

test('a message that is handled twice is a breach, also under another id', (t) => {
  const { ledger, call, kinds } = open();
  const [same, other] = [call(202), call(202)];
  for (const id of ['twice', 'twice']) ledger.handled('x', frameOf(same.number, 0, id));
  for (const id of ['one', 'two']) ledger.handled('x', frameOf(other.number, 0, id));
  t.deepEqual(kinds(), ['handled twice', 'sent under two message ids', 'handled twice']);
});

test('an answer that is none of a send, or tells what another acknowledged, is a breach', (t) => {
  const { ledger, call, kinds } = open();
  call(500);
  ledger.close(ledger.open('x', 'node-a', timeoutMs), 202, { call: 7 });
  ledger.handled('y', frameOf(0));
  t.deepEqual(kinds(), ['acknowledgement of another', 'frame of nobody', 'unexpected answer']);
});
