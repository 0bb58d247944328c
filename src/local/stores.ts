// Opens the embedded Postgres and Redis: a keeper process runs them for as long as this process lives.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import {
  type KeeperMessage,
  type KeeperOptions,
  keeperMessageSchema,
  stopRequest,
} from './keeper-protocol.ts';

/** More than the keeper's own escalation takes, so that it is cut short only when it hangs itself. */
const closeWithinMs = 12_000;

export interface Stores {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  /** Promises that no process of the stores is left. May be called twice. */
  close(): Promise<void>;
}

/** What is opened when only one of the two is wanted: the url of the other is absent. */
export interface SomeStores {
  readonly databaseUrl?: string | undefined;
  readonly redisUrl?: string | undefined;
  close(): Promise<void>;
}

interface OpenOptions {
  /** Where the data is kept; made if missing. One process at a time may hold it. */
  readonly folder: string;
  /** false trades the safety of the data for speed, for tests. Default true. */
  readonly durable?: boolean;
  readonly onProgress?: (line: string) => void;
  /** Called when the stores ended though nobody closed them, with the reason. */
  readonly onLost?: (reason: string) => void;
  /** Gives up the opening; the promise rejects once nothing runs. */
  readonly signal?: AbortSignal;
}

interface Selection {
  readonly postgres: boolean;
  readonly redis: boolean;
}

/** Resolves once the stores take connections; rejects with a message for a person, and leaves nothing running. */
export async function openStores(options: OpenOptions): Promise<Stores>;
export async function openStores(options: OpenOptions & Selection): Promise<SomeStores>;
export async function openStores(options: OpenOptions & Partial<Selection>): Promise<SomeStores> {
  const { folder, durable = true, postgres = true, redis = true, signal } = options;
  signal?.throwIfAborted();
  const keeper = forkKeeper({ folder, durable, postgres, redis });
  const gone = endOf(keeper);
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= closeKeeper(keeper, gone);
    return closing;
  };
  const abort = () => void close();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const urls = await opened(keeper, { ...options, gone, isClosing: () => closing !== undefined });
    return { ...urls, close };
  } catch (error) {
    await close();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
    // From here on the stores end with this process rather than keep it alive.
    keeper.unref();
    keeper.channel?.unref();
  }
}

interface Listening extends OpenOptions {
  readonly gone: Promise<string>;
  readonly isClosing: () => boolean;
}

/** Listens for as long as the keeper lives: first for the start, then for a loss. */
function opened(keeper: ChildProcess, options: Listening): Promise<Omit<SomeStores, 'close'>> {
  const { gone, isClosing, onProgress, onLost } = options;
  return new Promise((resolve, reject) => {
    let isReady = false;
    let reason: string | undefined;
    const handle = (message: KeeperMessage) => {
      switch (message.type) {
        case 'progress':
          return onProgress?.(message.line);
        case 'started':
          return onProgress?.(`✔ ${message.title} ready (${(message.elapsedMs / 1000).toFixed(1)} s)`);
        case 'failed':
          reason = message.message;
          return;
        case 'ready':
          isReady = true;
          return resolve({ databaseUrl: message.databaseUrl, redisUrl: message.redisUrl });
      }
    };
    keeper.on('message', (message) => handle(keeperMessageSchema.parse(message)));
    void gone.then((text) => {
      if (!isReady) reject(new Error(reason ?? text));
      else if (!isClosing()) onLost?.(reason ?? text);
    });
  });
}

/** Resolves to how the keeper ended, once its last message has been read as well. */
async function endOf(keeper: ChildProcess): Promise<string> {
  try {
    const [[code, killer]] = await Promise.all([once(keeper, 'exit'), once(keeper, 'disconnect')]);
    return `The keeper of the stores ended (${killer ?? `exit code ${code}`})`;
  } catch (error) {
    return `The keeper of the stores could not be run: ${error instanceof Error ? error.message : error}`;
  }
}

function forkKeeper(options: KeeperOptions): ChildProcess {
  return fork(fileURLToPath(new URL('keeper.ts', import.meta.url)), [JSON.stringify(options)], {
    // A session of its own: the terminal's Ctrl-C must not end the stores before the controller has drained.
    detached: true,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

async function closeKeeper(keeper: ChildProcess, gone: Promise<string>): Promise<void> {
  if (keeper.exitCode !== null || keeper.signalCode !== null || keeper.pid === undefined) return;
  const group = -keeper.pid;
  keeper.ref();
  if (keeper.connected) keeper.send(stopRequest, () => undefined);
  const timer = setTimeout(() => {
    try {
      // The whole group: the keeper and both servers.
      process.kill(group, 'SIGKILL');
    } catch {
      // It ended this very moment.
    }
  }, closeWithinMs);
  await gone;
  clearTimeout(timer);
}
