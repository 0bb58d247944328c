// Owns a fleet that beats all the time, in a process of its own, and what it tells of that when asked.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

export const optionsSchema = z.object({
  urls: z.array(z.url()).min(1),
  count: z.int().min(1),
  prefix: z.string(),
  /** How many organizations they share, so that replicas write the same rows. */
  organizations: z.int().min(1),
  everyMs: z.int().min(1),
});
type FleetOptions = z.infer<typeof optionsSchema>;

const reportSchema = z.object({
  /** Sockets that are open at this moment. */
  connected: z.int(),
  /** Connections that ended so far, for whatever reason. */
  lost: z.int(),
  /** Heartbeats sent and acknowledged so far. */
  sent: z.int(),
  acknowledged: z.int(),
  /** The age of the oldest heartbeat that waits for its acknowledgement, ms; 0 if none does. */
  oldestWaitingMs: z.number(),
  /** `error` events by code, and what they said. */
  errors: z.record(z.string(), z.int()),
  messages: z.array(z.string()),
  /** Of each orchestrator: its id, its epoch, and the latest time that an acknowledgement told, ms. */
  orchestrators: z.array(z.tuple([z.string(), z.int(), z.number()])),
});
export type FleetReport = z.infer<typeof reportSchema>;
const messageSchema = z.union([z.literal('connected'), reportSchema]);

export interface BeatingFleet extends AsyncDisposable {
  report(): Promise<FleetReport>;
}

/** Connects a fleet, in turns to each of the URLs. Resolves once all are connected, and rejects if one cannot be. */
export async function startFleet(options: FleetOptions): Promise<BeatingFleet> {
  const child = fork(
    fileURLToPath(new URL('beating-fleet-process.ts', import.meta.url)),
    [JSON.stringify(options)],
    { execArgv: [] },
  );
  const ended = once(child, 'exit');
  const failed = ended.then(([code, signal]) => {
    throw new Error(`the fleet ended with ${signal ?? code}`);
  });
  failed.catch(() => undefined);
  const next = async () => {
    const [message] = await Promise.race([once(child, 'message'), failed]);
    return messageSchema.parse(message);
  };
  // It goes when the channel does, so also when this process is killed.
  const dispose = async () => {
    if (child.connected) child.disconnect();
    await ended;
  };
  if ((await next()) !== 'connected')
    throw new Error('the fleet told something else than that it is connected');
  return {
    async report() {
      const answer = next();
      child.send('report');
      const report = await answer;
      if (report === 'connected') throw new Error('the fleet told twice that it is connected');
      return report;
    },
    [Symbol.asyncDispose]: dispose,
  };
}
