// Owns one run: a cluster, a fleet, calls, and faults in an order drawn from a seed, until its time is over.
import { setTimeout as pause } from 'node:timers/promises';
import { openCluster } from '../support/cluster.ts';
import type { SettingsChanges } from '../support/world.ts';
import { openBalancer } from './balancer.ts';
import { recordBeats } from './beat-record.ts';
import { createFaults, type Durations } from './faults.ts';
import { openFleet } from './fleet.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { createRandom } from './random.ts';
import { openReplicaSet } from './replica-set.ts';
import { inspect, isWhole, type Scene } from './rest.ts';
import { startTraffic } from './traffic.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly durationMs: number;
  readonly orchestrators: number;
  readonly callsPerSecond: number;
  readonly replicas: number;
  readonly config: SettingsChanges;
  readonly durations: Durations;
  /** The client's own, or quicker where the leases are. */
  readonly backoff: { readonly baseMs: number; readonly capMs: number };
  readonly onProgress: (line: string) => void;
}

export interface ChaosReport {
  readonly ledger: Ledger;
  /** How often each kind struck. */
  readonly faults: ReadonlyMap<string, number>;
  /** From the end of each cause until everything was whole again. */
  readonly recoveriesMs: readonly number[];
  /** What each replica wrote. */
  readonly outputs: readonly { readonly nodeId: string; readonly text: string }[];
}

const wholeWithinMs = 60_000;
const progressEveryMs = 5_000;

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { onProgress } = options;
  const random = createRandom(options.seed);
  const ledger = createLedger();
  const struck = new Map<string, number>();
  const recoveriesMs: number[] = [];
  await using closing = new AsyncDisposableStack();
  const cluster = closing.use(await openCluster({ replicas: 0, config: options.config }));
  await recordBeats(cluster);
  const replicas = closing.use(openReplicaSet(cluster, ledger));
  await Promise.all(Array.from({ length: options.replicas }, () => replicas.grow()));
  // Where a connection ends up is chance of its own: how many there will be is not for the seed to say.
  const towards = random.fork();
  const drawn = () => (replicas.live.length === 0 ? undefined : towards.pick(replicas.live));
  const balancer = closing.adopt(await openBalancer(() => drawn()?.process.port), (it) => it.close());
  const fleet = closing.use(
    openFleet({
      count: options.orchestrators,
      url: balancer.url,
      backoff: options.backoff,
      ledger,
      random: random.fork(),
    }),
  );
  const scene: Scene = { cluster, replicas, fleet, ledger };
  await untilWhole('the fleet at the start');
  const traffic = startTraffic({
    members: fleet.members,
    callsPerSecond: options.callsPerSecond,
    sender: () => drawn()?.process,
    ledger,
    random: random.fork(),
  });

  const startedAt = performance.now();
  const seconds = () => ((performance.now() - startedAt) / 1_000).toFixed(1).padStart(6);
  let now = 'nothing yet';
  const ticking = setInterval(
    () => onProgress(`${seconds()} s  ${describe(scene)}  ${now}`),
    progressEveryMs,
  );
  closing.defer(() => clearInterval(ticking));

  const draws = random.fork();
  const faults = createFaults({ cluster, replicas, random: draws, ledger, durations: options.durations });
  let bag: string[] = [];
  while (performance.now() - startedAt < options.durationMs) {
    // Each kind once before any comes again.
    if (bag.length === 0) bag = draws.shuffled([...faults.keys()]);
    const kind = bag.pop() ?? '';
    now = kind;
    traffic.hurry();
    await pause(draws.between(100, 500));
    let healedAt = performance.now();
    await faults.get(kind)?.(() => {
      healedAt = performance.now();
    });
    struck.set(kind, (struck.get(kind) ?? 0) + 1);
    // The next one may come before this one is got over.
    const overlaps = draws.chance(0.3);
    if (!overlaps && (await untilWhole(kind))) {
      recoveriesMs.push(performance.now() - healedAt);
      onProgress(`${seconds()} s  ${kind}: whole after ${Math.round(performance.now() - healedAt)} ms`);
    } else
      onProgress(`${seconds()} s  ${kind}: ${overlaps ? 'the next one comes at once' : 'never got over'}`);
    await pause(draws.between(200, 2_000));
  }

  now = 'coming to rest';
  await untilWhole('the last fault');
  await traffic.stop();
  await inspect(scene, 30_000);
  ledger.judge();
  const outputs = cluster.replicas.map((each) => ({ nodeId: each.nodeId, text: each.output() }));
  return { ledger, faults: struck, recoveriesMs, outputs };

  async function untilWhole(what: string): Promise<boolean> {
    const deadline = performance.now() + wholeWithinMs;
    while (performance.now() < deadline) {
      // A replica that answers nothing while a store comes back is no more whole than one that says no.
      if (await isWhole(scene).catch(() => false)) return true;
      await pause(100);
    }
    ledger.broke('not whole again', `${wholeWithinMs} ms after ${what}: ${describe(scene)}`);
    return false;
  }
}

function describe({ fleet, ledger, replicas }: Scene): string {
  const answers = Map.groupBy(ledger.calls, (call) => call.answer ?? 'open');
  const counts = [...answers].map(([answer, calls]) => `${answer}: ${calls.length}`).toSorted();
  return [
    `connected ${fleet.connected}/${fleet.members.length} on ${replicas.live.length}`,
    `beats ${ledger.count.beats}`,
    `sent ${ledger.calls.length} (${counts.join(', ')})`,
  ].join('  ');
}
