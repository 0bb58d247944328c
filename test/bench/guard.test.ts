// What 1,000 heartbeats, handshakes and sends have the stores do, and how many bytes they move: counts, so that it does
// not matter how fast or how busy a machine is.
import test from 'ava';
import { boundOf, seen } from './guard/bounds.ts';
import { type Counted, type Counts, count, countsOf, figureNames } from './guard/meters.ts';
import { openScene, type Scene } from './guard/scene.ts';
import { openWorks, type Work, type WorkName, workNames } from './guard/works.ts';
import { spreadOf } from './statistics.ts';

const closing = new AsyncDisposableStack();
let scene: Scene;
let works: Readonly<Record<WorkName, Work>>;
test.before(async (t) => {
  t.timeout(60_000);
  scene = await openScene(closing);
  works = await openWorks(scene);
});
test.after.always(() => closing.disposeAsync());

/** The median of as many counts: one may meet something else that goes on. Connecting a crowd anew takes its time. */
const rounds: Partial<Record<WorkName, number>> = { firstHandshakes: 1, handshakes: 1 };

const titles: Readonly<Record<WorkName, string>> = {
  firstHandshakes: '1,000 handshakes at once, of orchestrators that are new',
  handshakes: '1,000 handshakes at once, of orchestrators that come back',
  heartbeats: '1,000 heartbeats at once',
  loneHeartbeats: '1,000 heartbeats, one after the other,',
  sends: '1,000 sends through two replicas, 20 at a time,',
  loneSends: '1,000 sends through two replicas, one after the other,',
};

for (const name of workNames)
  test.serial(`${titles[name]} cost no more than they may`, async (t) => {
    t.timeout(60_000);
    const counted: Counted[] = [];
    for (let round = 0; round < (rounds[name] ?? 3); round += 1)
      counted.push(await count(scene, works[name]));
    const found = perThousand(counted, works[name].pieces);
    const wrong = figureNames.filter(
      (figure) => found[figure] > boundOf(name, figure) || (found[figure] === 0 && seen[name][figure] > 0),
    );
    t.deepEqual(wrong, [], tell(name, found, counted));
    // A bound so far above lets too much pass, and is to be lowered by who saved so much.
    const loose = figureNames.filter((figure) => boundOf(name, figure) > 2 * Math.max(found[figure], 1_000));
    if (loose.length > 0) t.log(`Bounds to lower: ${loose.join(', ')}.\n${tell(name, found, counted)}`);
  });

function perThousand(counted: readonly Counted[], pieces: number): Counts {
  const medianOf = (values: readonly number[]) => spreadOf(values).median;
  return countsOf((figure) =>
    Math.round((medianOf(counted.map(({ counts }) => counts[figure])) * 1_000) / pieces),
  );
}

/** Whatever one needs to see why, and the rows that set the bounds anew. */
function tell(name: WorkName, found: Counts, counted: readonly Counted[]): string {
  const rows = figureNames.map((figure) => {
    const mark = found[figure] > boundOf(name, figure) ? ' // ✘' : ' //';
    const bound = boundOf(name, figure).toLocaleString('en-US');
    const before = seen[name][figure].toLocaleString('en-US');
    return `    ${figure}: ${round(found[figure])},${mark} at most ${bound}, as ${before} were seen`;
  });
  const parts = [...(counted.at(-1)?.parts ?? [])].map(([part, times]) => `  ${times} × ${part}`);
  return [`  ${name}: {`, ...rows, '  },', 'The last of it was:', ...parts].join('\n');
}

/** Three digits that count, as the list of bounds has them. */
function round(value: number): string {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value || 1)) - 2);
  return (Math.round(value / unit) * unit).toLocaleString('en-US').replaceAll(',', '_');
}
