// Owns the line to the guard process (guard.ts), which ends what a test started should the test itself not do so.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { GuardMessage } from './guard.ts';

export interface Guard {
  /** From now on this process ends with ours, however ours ends, until it is `released`. */
  watch(pid: number): void;
  release(pid: number): void;
  /** This folder goes as well. */
  remove(folder: string): void;
  /** Ends all that is watched, now. Resolves once it is done. */
  close(): Promise<void>;
}

export function openGuard(): Guard {
  const child: ChildProcess = fork(fileURLToPath(new URL('guard.ts', import.meta.url)), {
    // A session of its own: what ends the test's process group must not end the guard first.
    detached: true,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once('exit', () => resolve());
    child.once('error', reject);
  });
  ended.catch(() => undefined);
  child.unref();
  child.channel?.unref();
  const tell = (message: GuardMessage) => {
    if (child.connected) child.send(message);
  };
  return {
    watch: (pid) => tell({ started: pid }),
    release: (pid) => tell({ ended: pid }),
    remove: (folder) => tell({ folder }),
    async close() {
      child.ref();
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}
