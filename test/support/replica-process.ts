// Owns one replica as a process of its own, as production runs it, for tests that kill, pause and stop it.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Api, createApi } from './api.ts';
import type { Guard } from './guarded.ts';
import { until } from './until.ts';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ReplicaProcess {
  readonly url: string;
  readonly port: number;
  readonly nodeId: string;
  readonly pid: number;
  readonly api: Api;
  readonly hasEnded: boolean;
  /** Resolves to how the process ended, for whatever reason. */
  readonly ended: Promise<Ended>;
  /** SIGKILL; resolves once it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: it believes that it goes on, and does not. */
  pause(): void;
  resume(): void;
  /** SIGTERM; resolves to how it ended and after how long. */
  stop(): Promise<Ended & { readonly ms: number }>;
  /** All that it wrote. */
  output(): string;
}

const projectFolder = fileURLToPath(new URL('../../', import.meta.url));
const readyLine = /^Moolai Controller (?:ready|listens) at (http:\/\/[^\s,]+)/m;

/** Resolves once it listens, which it does also while a store is away. Rejects with what it wrote if it ends first. */
export async function startReplicaProcess(env: NodeJS.ProcessEnv, guard: Guard): Promise<ReplicaProcess> {
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: projectFolder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  let hasEnded = false;
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      hasEnded = true;
      if (child.pid !== undefined) guard.release(child.pid);
      resolve({ code, signal });
    });
  });
  ended.catch(() => undefined);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${process.execPath} could not be run`);
  guard.watch(pid);
  const url = await until(
    'a replica to listen',
    () => (hasEnded ? 'none' : readyLine.exec(output)?.[1]),
    60_000,
  );
  if (url === 'none') throw new Error(`The replica ended before it listened:\n${output}`);
  const api = createApi(url);
  const { body } = await api.get('/health/live');
  return {
    url,
    port: Number(new URL(url).port),
    nodeId: String(body.node_id),
    pid,
    api,
    get hasEnded() {
      return hasEnded;
    },
    ended,
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async stop() {
      const startedAt = performance.now();
      child.kill('SIGTERM');
      const how = await ended;
      return { ...how, ms: performance.now() - startedAt };
    },
    output: () => output,
  };
}
