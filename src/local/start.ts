// The command `npm start`: the stores that are not given, the schema, and the controller, until a signal.
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isTokenRequired } from '../access/tokens.ts';
import { loadSettings, SettingsError } from '../settings.ts';
import { keyFileIn, localFolder, readKeyFile } from './key-file.ts';
import { requireFreePort, takenPortLine } from './port.ts';
import { startReplicas } from './replicas.ts';
import { openStores, type SomeStores } from './stores.ts';

/** Something that a person at the terminal can put right; its message says how. */
class StartFault extends Error {
  override readonly name = 'StartFault';
}

type Close = () => Promise<void>;
interface Running {
  readonly url: string;
  /** Where health is told, if not there. */
  readonly processUrl?: string;
  stop(): Promise<void>;
}

const readinessSchema = z.object({ faults: z.array(z.string()) });
/** npm passes a terminal's Ctrl-C on though the terminal has sent it to us as well: one key, two signals. */
const samePressMs = 500;
const parentCheckMs = 500;
const stopWithinMs = 30_000;

const stopping = new AbortController();
const say = (line: string) => console.log(`  ${line}`);
// A closed terminal must not keep us from stopping what we started.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
heedSignals();

const closers: Close[] = [];
let exitCode = 0;
try {
  const { url, processUrl, isTokenNeeded } = await start();
  const isReady = await askWhetherReady(processUrl ?? url);
  console.log(`\nMoolai Controller ${isReady ? 'ready' : 'listens, not ready yet,'} at ${url}\n`);
  printHints(url, isTokenNeeded);
  await aborted();
} catch (error) {
  if (!stopping.signal.aborted) {
    exitCode = 1;
    report(error);
  }
}
await stop();

/** Brings everything up in order, leaving in `closers` how to take it down; throws when asked to stop meanwhile. */
async function start(): Promise<Omit<Running, 'stop'> & { isTokenNeeded: boolean }> {
  const replicaCount = parseReplicas(given().REPLICAS);
  // Everything that can be checked is checked before anything is started.
  const placeholders = { DATABASE_URL: 'postgres://127.0.0.1/', REDIS_URL: 'redis://127.0.0.1/' };
  const keys = await localKeys();
  const { http } = loadSettings({ env: { ...placeholders, ...keys, ...given() } });
  const fault = await requireFreePort(http);
  if (fault !== undefined) throw new StartFault(fault);

  const opening = openMissingStores();
  loadAhead(replicaCount);
  const urls = await opening;
  // The terminal is for progress; the ring behind /api/v1/internal/logs has every line.
  const env = {
    LOG_LEVEL: 'warn',
    INDEPENDENCE_FOLDER: join(localFolder(), 'independence'),
    ...keys,
    ...given(),
    ...urls,
  };
  const settings = loadSettings({ env });
  const startedAt = performance.now();
  const applied = await migrateSchema(settings.database.url);
  const changes = applied.length === 0 ? 'nothing to migrate' : `migrated: ${applied.join(', ')}`;
  say(`✔ Schema ready, ${changes} (${secondsSince(startedAt)} s)`);
  stopping.signal.throwIfAborted();

  const running = await startControllers(replicaCount, env);
  closers.push(() => running.stop());
  stopping.signal.throwIfAborted();
  const { url, processUrl = url } = running;
  return { url, processUrl, isTokenNeeded: isTokenRequired(settings.auth) };
}

/** The stores are processes of their own: to load what comes behind them takes as long as they take to come up. */
function loadAhead(replicaCount: number): void {
  const schema = import('../database/migrate.ts');
  // Of several replicas each loads its own.
  const controller = replicaCount === 1 ? [import('../controller.ts'), import('../telemetry.ts')] : [];
  // What cannot be loaded is told by whoever needs it.
  Promise.all([schema, ...controller]).catch(() => undefined);
}

async function migrateSchema(databaseUrl: string): Promise<string[]> {
  const { migrate } = await import('../database/migrate.ts');
  try {
    return await migrate(databaseUrl);
  } catch (error) {
    // A refused connection has its reasons, one for each address, inside.
    const reasons = error instanceof AggregateError ? error.errors : [error];
    const reason = reasons.map((each) => (each instanceof Error ? each.message : String(each))).join('; ');
    throw new StartFault(`The database that DATABASE_URL names cannot be used: ${reason}`);
  }
}

/** The key that `npm run token` made, unless the environment has others to say. */
async function localKeys(): Promise<{ AUTH_KEYS?: string }> {
  const { AUTH, AUTH_KEYS, AUTH_JWKS_URL } = given();
  if (AUTH === 'off' || (AUTH_KEYS ?? AUTH_JWKS_URL) !== undefined) return {};
  const json = await readKeyFile(keyFileIn(localFolder()));
  return json === undefined ? {} : { AUTH_KEYS: json };
}

/** The environment, in which an empty variable counts as none. */
function given(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ''));
}

/** Opens whichever store the environment does not name. */
async function openMissingStores(): Promise<{ DATABASE_URL?: string; REDIS_URL?: string }> {
  const postgres = given().DATABASE_URL === undefined;
  const redis = given().REDIS_URL === undefined;
  if (!postgres && !redis) return {};
  const stores = await openLocal({ postgres, redis });
  closers.push(() => stores.close());
  const urls = {
    ...(stores.databaseUrl === undefined ? {} : { DATABASE_URL: stores.databaseUrl }),
    ...(stores.redisUrl === undefined ? {} : { REDIS_URL: stores.redisUrl }),
  };
  await publishUrls(urls);
  return urls;
}

/** For whoever wants to look into the stores, or to run something else on them while they are up. */
async function publishUrls(urls: Record<string, string>): Promise<void> {
  const file = join(localFolder(), 'stores.env');
  const lines = Object.entries(urls).map(([name, url]) => `${name}=${url}\n`);
  await writeFile(file, lines.join(''), { mode: 0o600 });
  closers.push(() => rm(file, { force: true }));
}

async function openLocal(selection: { postgres: boolean; redis: boolean }): Promise<SomeStores> {
  try {
    return await openStores({
      folder: localFolder(),
      ...selection,
      signal: stopping.signal,
      onProgress: say,
      onLost(reason) {
        exitCode = 1;
        console.error(`  ✘ ${reason}: stopping`);
        stopping.abort();
      },
    });
  } catch (error) {
    throw new StartFault(error instanceof Error ? error.message : String(error));
  }
}

async function startControllers(count: number, env: NodeJS.ProcessEnv): Promise<Running> {
  const settings = loadSettings({ env });
  const startedAt = performance.now();
  try {
    if (count > 1)
      return await startReplicas({ count, settings, env, onProgress: say, signal: stopping.signal });
    const { startController } = await import('../controller.ts');
    const { openTelemetry } = await import('../telemetry.ts');
    const controller = await startController(settings, { openTelemetry });
    say(`✔ Controller started (${secondsSince(startedAt)} s)`);
    return controller;
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    throw isTaken ? new StartFault(takenPortLine(settings.http)) : error;
  }
}

/** Listening is not being ready: what is missing is said before anybody tries. */
async function askWhetherReady(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/health/ready`);
  if (answer.ok) return true;
  const { faults } = readinessSchema.parse(await answer.json());
  console.error(`  ✘ Not ready yet, and trying on: ${faults.join(', ')}`);
  return false;
}

function parseReplicas(text: string | undefined): number {
  if (text === undefined) return 1;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 64) return count;
  throw new StartFault(`REPLICAS must be a whole number from 1 to 64 (is ${JSON.stringify(text)})`);
}

function printHints(listening: string, isTokenNeeded: boolean): void {
  // Every address is one to listen at, but none to call.
  const url = listening.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
  const elsewhere = url === 'http://127.0.0.1:8765' ? '' : ` --url ${url}`;
  const token = isTokenNeeded ? ' -H "Authorization: Bearer $TOKEN"' : '';
  console.log(`Try next, in another terminal:${isTokenNeeded ? '\n  TOKEN=$(npm run -s token -- --role admin)' : ''}
  curl${token} ${url}/api/v1/controller/overview
  npm run orchestrator -- --id org-002${elsewhere}
  curl${token} ${url}/api/v1/controller/orchestrators/live

Ctrl-C stops everything that was started here.`);
}

function heedSignals(): void {
  const stop = () => {
    console.log('\n  Stopping … (Ctrl-C again to force)');
    stopping.abort();
  };
  let firstAt: number | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (firstAt === undefined) {
        firstAt = performance.now();
        stop();
      } else if (performance.now() - firstAt > samePressMs) {
        // The keeper and the replicas notice that we are gone, and end on their own.
        process.exit(130);
      }
    });
  }
  if (process.env.npm_lifecycle_event === undefined) return;
  // A signal to npm alone ends the shell between npm and us, where there is one, and tells us nothing.
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    if (!stopping.signal.aborted) stop();
  }, parentCheckMs);
  watch.unref();
}

function aborted(): Promise<void> {
  const { signal } = stopping;
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** In reverse order: whoever uses a store goes before it. One that fails to stop does not keep the next from it. */
async function stop(): Promise<never> {
  const startedAt = performance.now();
  setTimeout(() => {
    console.error(`  ✘ Not stopped within ${stopWithinMs / 1000} s: given up`);
    process.exit(1);
  }, stopWithinMs);
  for (const close of closers.reverse()) await close().catch(report);
  if (exitCode === 0) say(`✔ Stopped (${secondsSince(startedAt)} s)`);
  process.exit(exitCode);
}

function report(error: unknown): void {
  const isForPeople = error instanceof StartFault || error instanceof SettingsError;
  console.error(isForPeople ? error.message : error);
}

function secondsSince(startedAt: number): string {
  return ((performance.now() - startedAt) / 1000).toFixed(1);
}
