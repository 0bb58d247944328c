// A database server as a child process: its log file, its readiness, its end.
import { type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, rename } from 'node:fs/promises';
import { type EndingStep, endProcess, waitUntil } from './processes.ts';

/** A server that accepts connections. */
export interface RunningServer {
  readonly url: string;
  readonly pid: number;
  /** For the reader of a progress line: name and version. */
  readonly title: string;
  /** Resolves to why, once the server has ended, for whatever reason. */
  readonly ended: Promise<string>;
  /** Promises that the process is gone, by force at the end. May be called twice. */
  stop(): Promise<void>;
}

interface Launch {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** The system user that it runs as, when not our own. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  readonly logFile: string;
  readonly ending: readonly EndingStep[];
  readonly readyWithinMs: number;
  isReady(pid: number): boolean | Promise<boolean>;
}

/**
 * Starts a server and waits until it is ready. It writes straight to its log file, so that it outlives a keeper
 * that was killed without choking on a broken pipe. Rejects with the tail of that log.
 */
export async function launch(options: Launch): Promise<Omit<RunningServer, 'url' | 'title'>> {
  const { name, logFile, ending } = options;
  // The log of the run before is what tells why that one ended.
  await rename(logFile, `${logFile}.previous`).catch(() => undefined);
  const log = await open(logFile, 'w', 0o600);
  const child = spawn(options.command, options.args, spawnOptions(options, log.fd));
  const ended = once(child, 'exit').then(
    ([code, signal]) => `${name} ended (${signal ?? `exit code ${code}`})`,
    (error: Error) => `${name} could not be run: ${error.message}`,
  );
  await log.close();
  const { pid } = child;
  if (pid === undefined) throw new Error(await ended);

  let reason: string | undefined;
  void ended.then((text) => {
    reason = text;
  });
  const settled = await waitUntil(
    async () => reason !== undefined || (await options.isReady(pid)),
    options.readyWithinMs,
  );
  if (!settled || reason !== undefined) {
    await endProcess(pid, ending);
    const why = reason ?? `${name} was not ready after ${options.readyWithinMs / 1000} s`;
    throw new Error(`${why}. The end of ${logFile}:\n${await tailOf(logFile)}`);
  }
  return {
    pid,
    ended,
    async stop() {
      await endProcess(pid, ending);
      await ended;
    },
  };
}

/** The last lines of a file, indented, for an error that a person reads. */
export async function tailOf(file: string, lineCount = 12): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: Error) => `(${error.message})`);
  return indent(text, lineCount);
}

export function indent(text: string, lineCount = 12): string {
  return text
    .trimEnd()
    .split('\n')
    .slice(-lineCount)
    .map((line) => `    ${line}`)
    .join('\n');
}

function spawnOptions({ env, cwd, user }: Launch, logDescriptor: number): SpawnOptions {
  return { env, cwd, stdio: ['ignore', logDescriptor, logDescriptor], ...user };
}
