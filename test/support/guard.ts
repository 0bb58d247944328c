// The process that outlives a test: once its parent is gone, however, it ends what that had told it of.
import { readlink, rm } from 'node:fs/promises';
import { z } from 'zod';
import { childrenOf } from './process-tree.ts';

const messageSchema = z.union([
  z.object({ started: z.int().min(2) }),
  z.object({ ended: z.int().min(2) }),
  z.object({ folder: z.string().min(1) }),
]);
export type GuardMessage = z.infer<typeof messageSchema>;

const pids = new Set<number>();
const folders = new Set<string>();

process.on('message', (message) => {
  const told = messageSchema.parse(message);
  if ('started' in told) pids.add(told.started);
  // Its number may be another process's by now.
  else if ('ended' in told) pids.delete(told.ended);
  else folders.add(told.folder);
});
// A terminal's Ctrl-C is for the parent; this one goes when the channel closes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('disconnect', () => void end());

async function end(): Promise<void> {
  const all = [...pids].flatMap((pid) => [pid, ...childrenOf(pid)]);
  for (const pid of all) {
    try {
      // What is killed while stopped goes at once, all the same.
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  }
  for (const folder of folders) {
    // Postgres's data is elsewhere where its user may not enter the folder.
    const elsewhere = await readlink(`${folder}/postgres`).catch(() => undefined);
    for (const place of elsewhere === undefined ? [folder] : [elsewhere, folder])
      await rm(place, { recursive: true, force: true, maxRetries: 5 });
  }
  process.exit(0);
}
