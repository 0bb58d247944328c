// Owns what a test does to a process it started and to that one's children: list, stop, go on, kill.
import { readFileSync } from 'node:fs';

/** The children of a process, by Linux's /proc; none where it does not tell, or once the process is gone. */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** Postgres serves each connection with a child, which a signal to its parent does not reach. */
export function signalTree(pid: number, signal: NodeJS.Signals): void {
  // The parent first: one that is stopped or killed makes no further children.
  for (const each of [pid, ...childrenOf(pid)]) {
    try {
      process.kill(each, signal);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
}
