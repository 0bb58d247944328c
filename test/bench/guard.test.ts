// What 1,000 heartbeats, handshakes and sends have the stores do, and how many bytes they move: counts, so that it does
// not matter how fast or how busy a machine is.
import test from 'ava';
import { bounds } from './guard/bounds.ts';
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

/** Where next to nothing is moved, a reply more or less of Redis's is no matter. */
const slackBytes = 2_000;

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
    const wrong = figureNames.filter((figure) => {
      const { seen, atMost } = bounds[name][figure];
      return found[figure] > atMost || (found[figure] === 0 && seen > 0);
    });
    t.deepEqual(wrong, [], tell(name, found, counted));
    const loose = figureNames.filter(
      (figure) => bounds[name][figure].atMost > slackBytes && found[figure] < bounds[name][figure].seen / 2,
    );
    if (loose.length > 0) t.log(`Bounds to lower: ${loose.join(', ')}\n${tell(name, found, counted)}`);
  });

test('no bound lets twice as much pass as was seen, but for a few bytes', (t) => {
  for (const name of workNames)
    for (const figure of figureNames) {
      const { seen, atMost } = bounds[name][figure];
      t.true(
        atMost >= seen &&
          (atMost < 2 * Math.max(seen, 0.5) || (/bytes/i.test(figure) && atMost <= slackBytes)),
        `${name}.${figure}`,
      );
    }
});

function perThousand(counted: readonly Counted[], pieces: number): Counts {
  const medianOf = (values: readonly number[]) => spreadOf(values).median;
  return countsOf((figure) =>
    Math.round((medianOf(counted.map(({ counts }) => counts[figure])) * 1_000) / pieces),
  );
}

/** Whatever one needs to see why, or to set the bounds anew. */
function tell(name: WorkName, found: Counts, counted: readonly Counted[]): string {
  const figures = figureNames.map((figure) => {
    const { seen, atMost } = bounds[name][figure];
    return `  ${found[figure] > atMost ? '✘' : ' '} ${figure}: ${found[figure]}, when the bound was set ${seen}, at most ${atMost}`;
  });
  const parts = [...(counted.at(-1)?.parts ?? [])].map(([part, times]) => `  ${times} × ${part}`);
  return [`${name}, for each 1,000:`, ...figures, 'the last round was:', ...parts].join('\n');
}
