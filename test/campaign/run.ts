// Owns one run: rounds of payloads at every target, and what must hold behind each round and at the end.
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { crc32 } from 'node:zlib';
import { environmentFileName, jsonFileName } from '../../src/fleet/environment-files.ts';
import { createRandom } from '../chaos/random.ts';
import { connectTarget } from './doorstep.ts';
import { eventTargets } from './events.ts';
import { escapedName } from './hostile.ts';
import { oddTargets } from './odd-targets.ts';
import { routeTargets } from './routes.ts';
import { openScene, type Scene } from './scene.ts';
import type { Failure, Target } from './target.ts';

export interface CampaignOptions {
  readonly seed: number;
  /** So many payloads at the least. */
  readonly payloads: number;
  /** Only targets whose name contains this. */
  readonly only?: string | undefined;
  readonly onProgress: (line: string) => void;
}

export interface CampaignReport {
  readonly targets: readonly Target[];
  readonly failures: readonly Failure[];
  /** What broke without a payload that could be named. */
  readonly breaches: readonly string[];
  readonly heap: { readonly beforeBytes: number; readonly afterBytes: number };
  readonly durationMs: number;
}

/** Payloads of one target in one round, by its share. */
const perRound = 40;
/** Rounds until code is compiled, pools are filled and caches are warm: only then growth means a leak. */
const warmUpShare = 0.2;
const heapMayGrowBy = 0.1;

export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const startedAt = performance.now();
  const breaches: string[] = [];
  const failures: Failure[] = [];
  const unhandled: unknown[] = [];
  const note = (error: unknown) => void unhandled.push(error);
  for (const event of ['unhandledRejection', 'uncaughtException'] as const) process.on(event, note);
  await using closing = new AsyncDisposableStack();
  closing.defer(() => {
    for (const event of ['unhandledRejection', 'uncaughtException'] as const) process.off(event, note);
  });
  const scene = closing.use(await openScene());
  const targets = [
    ...(await routeTargets(scene)),
    ...eventTargets(scene),
    connectTarget(scene),
    ...oddTargets(scene),
  ].filter(({ name }) => options.only === undefined || name.includes(options.only));

  /** @throws naming what is wrong inside the controller */
  async function requireSound(): Promise<void> {
    await scene.writes.requireNone();
    const faults = await scene.newFaults();
    if (faults.length > 0) throw new Error(`the controller logged ${faults[0]}`);
    if (unhandled.length > 0) throw new Error(`nobody handled ${describe(unhandled.splice(0)[0])}`);
    if (Object.keys(Object.prototype).length > 0 || Reflect.get({}, 'polluted') !== undefined)
      throw new Error('the prototype of all objects was changed');
    const { status } = await scene.api.get('/health/ready');
    if (status !== 200) throw new Error(`/health/ready answers ${status}`);
  }

  // Each target draws by itself, so that a seed gives it the same payloads whichever others there are.
  const draws = new Map(
    targets.map((target) => [target, createRandom((options.seed ^ crc32(target.name)) >>> 0)]),
  );
  const broken = new Set<Target>();
  async function attack(target: Target): Promise<void> {
    await scene.reset();
    const seed = draws.get(target)?.between(-(2 ** 31), 2 ** 31 - 1) ?? options.seed;
    const round = { seed, payloads: Math.ceil(perRound * target.share) };
    let failure = await target.run(round);
    try {
      await requireSound();
    } catch (error) {
      // Once more, with a look behind each payload: which one was it?
      failure ??= await target.run({ ...round, afterEach: requireSound });
      if (failure === undefined)
        breaches.push(`${target.name}, behind its payloads of seed ${seed}: ${describe(error)}`);
    }
    if (failure === undefined) return;
    failures.push(failure);
    options.onProgress(`✘ ${failure.target}: ${failure.error}`);
    broken.add(target);
    await requireSound().catch(() => undefined);
  }

  async function attackUntil(payloads: number): Promise<void> {
    while (sent(targets) < payloads && broken.size < targets.length) {
      for (const target of targets) if (!broken.has(target)) await attack(target);
      options.onProgress(`${sent(targets)} payloads, ${failures.length + breaches.length} failures`);
    }
  }

  await attackUntil(options.payloads * warmUpShare);
  await scene.reset();
  const beforeBytes = await settledHeap();
  await attackUntil(options.payloads);
  await scene.reset();
  const afterBytes = await settledHeap();
  if (afterBytes > beforeBytes * (1 + heapMayGrowBy))
    breaches.push(`the heap grew from ${inMiB(beforeBytes)} to ${inMiB(afterBytes)}`);
  breaches.push(...(await strayFiles(scene)));
  return {
    targets,
    failures,
    breaches,
    heap: { beforeBytes, afterBytes },
    durationMs: performance.now() - startedAt,
  };
}

export function sent(targets: readonly Target[]): number {
  return targets.flatMap(({ outcomes }) => [...outcomes.values()]).reduce((sum, count) => sum + count, 0);
}

export const inMiB = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What is in use behind collections that free no more. */
async function settledHeap(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  let least = Number.POSITIVE_INFINITY;
  for (let since = 0; since < 3; since += 1) {
    // What waits for a turn of the event loop lets go of what it holds.
    await new Promise((resolve) => setTimeout(resolve, 50));
    collect();
    const { heapUsed } = process.memoryUsage();
    if (heapUsed < least * 0.995) since = 0;
    least = Math.min(least, heapUsed);
  }
  return least;
}

/** What was written elsewhere than in the environment files, or into them as no line of theirs. */
async function strayFiles({ root, world }: Scene): Promise<string[]> {
  const names = await readdir(root, { recursive: true, withFileTypes: true });
  const files = names
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  const folder = world.settings.independence.folder;
  const expected = [join(folder, environmentFileName), join(folder, jsonFileName)];
  const found = files
    .filter((file) => !expected.includes(file))
    .map((file) => `a stray file: ${relative(root, file)}`);
  for (const place of [process.cwd(), '/tmp', '/', '/etc', join(root, '..')])
    for (const name of await readdir(place).catch(() => []))
      if (name.includes(escapedName)) found.push(`a stray file: ${join(place, name)}`);
  for (const line of (await readFile(join(folder, environmentFileName), 'utf8')).split('\n'))
    if (!/^$|^#|^ORCHESTRATOR_[A-Z0-9_]+_INDEPENDENT=(true|false)$/.test(line))
      found.push(`a line of the environment file: ${line}`);
  JSON.parse(await readFile(join(folder, jsonFileName), 'utf8'));
  return found;
}
