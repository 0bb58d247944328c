// What the local mode needs to know of other processes: alive, whose child, which command, and how to end one.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const pollMs = 20;

/** One step of ending a process: the signal, and how long it may take before the next step. */
export interface EndingStep {
  readonly signal: NodeJS.Signals;
  readonly waitMs: number;
}

/** Resolves to whether the condition came true within the deadline. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  deadlineMs: number,
): Promise<boolean> {
  const endsAt = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > endsAt) return false;
    await pause(pollMs);
  }
  return true;
}

/** Whether the process runs. One that ended but that nobody reaped, as in a container without an init, does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is there, and another user's.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false;
  }
  return statOf(pid)?.state !== 'Z';
}

/** The command line of a process, or an empty string when it cannot be told. */
export function commandOf(pid: number): string {
  if (process.platform === 'linux') {
    return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  }
  return askPs(pid, 'command');
}

/** Whether a living keeper started this process: then it is in use, and no orphan. */
export function hasLivingKeeper(pid: number): boolean {
  const parent = statOf(pid)?.parent ?? Number(askPs(pid, 'ppid'));
  return parent > 1 && isKeeper(parent);
}

/** Whether this pid is a keeper's (see keeper.ts), and not that of a later process that was given the number. */
export function isKeeper(pid: number): boolean {
  return isAlive(pid) && commandOf(pid).includes('keeper.ts');
}

/** Ends a process by rising force. Promises that it is gone; throws when it outlives the last step. */
export async function endProcess(pid: number, steps: readonly EndingStep[]): Promise<void> {
  for (const { signal, waitMs } of steps) {
    if (!isAlive(pid)) return;
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (isAlive(pid)) throw error;
    }
    if (await waitUntil(() => !isAlive(pid), waitMs)) return;
  }
  throw new Error(`Process ${pid} outlived ${steps.map((step) => step.signal).join(', ')}`);
}

/** State letter and parent from /proc, where there is one; the command in parentheses may itself hold some. */
function statOf(pid: number): { state: string; parent: number } | undefined {
  if (process.platform !== 'linux') return undefined;
  const text = read(`/proc/${pid}/stat`);
  const [state = '', parent = ''] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return text === '' ? undefined : { state, parent: Number(parent) };
}

function askPs(pid: number, column: string): string {
  try {
    return execFileSync('ps', ['-ww', '-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
