// Owns what processes have used so far: processor time and memory, as Linux's /proc tells.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { childrenOf } from '../support/process-tree.ts';

/** Ticks a second of the times in /proc (proc(5), sysconf(_SC_CLK_TCK)). */
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/**
 * Seconds of processor time of a process and its children since their start, those of children that have ended among
 * them, whom their parent has waited for.
 * @throws when a process is gone, or where there is no /proc
 */
export function processorSeconds(pid: number): number {
  // The children first: one that ends meanwhile is then counted with those that have.
  const children = childrenOf(pid).reduce((sum, child) => sum + ownSeconds(child), 0);
  const [own = 0, ended = 0] = timesOf(pid);
  return own + ended + children;
}

/** Bytes of memory that a process holds, without what it may share with its children (proc(5), Rss). */
export function residentBytes(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}

/** None of one that is gone. */
function ownSeconds(pid: number): number {
  try {
    return timesOf(pid)[0];
  } catch {
    return 0;
  }
}

/** Seconds of the process itself, and of its children that it has waited for. */
function timesOf(pid: number): [own: number, ended: number] {
  // Its name, in brackets, may hold spaces and brackets: the fields are counted from behind it.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
    .map(Number);
  const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(11, 15);
  return [(utime + stime) / ticksPerSecond, (cutime + cstime) / ticksPerSecond];
}
