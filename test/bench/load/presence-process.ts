// The process of a fleet without sockets: what connecting and beating write to Redis, written by the code that does it there.
import { Redis } from 'ioredis';
import { z } from 'zod';
import { createMetrics } from '../../../src/metrics.ts';
import { createKeys } from '../../../src/redis/keys.ts';
import { createPresence } from '../../../src/redis/presence.ts';
import { readOptions, serveRequests } from '../answering.ts';
import { optionsSchema } from './presence.ts';

const { redisUrl, nodeId, count, intervalMs } = readOptions(optionsSchema);
const presence = createPresence({
  redis: new Redis(redisUrl),
  keys: createKeys('moolai'),
  nodeId,
  liveNodes: async () => [nodeId],
  now: () => Date.now(),
  metrics: createMetrics(),
});

const idOf = (at: number) => `orchestrator-${String(at).padStart(5, '0')}`;
await Promise.all(
  Array.from({ length: count }, (_, at) =>
    presence.claim(idOf(at), {
      epoch: 1,
      entry: {
        organization_id: `organization-${at % 100}`,
        name: `Orchestrator ${at}`,
        connected_at: new Date().toISOString(),
        metadata: {
          ...{ name: `Orchestrator ${at}`, location: 'eu-west-1', version: '1.4.2' },
          ...{ hostname: `ip-10-0-${at >> 8}-${at & 255}.internal`, ssl_enabled: true },
          features: { providers: ['openai', 'anthropic'], streaming: true },
        },
      },
      lastSeenMs: Date.now(),
    }),
  ),
);

const startedAt = performance.now();
let beaten = 0;
setInterval(() => {
  const due = ((performance.now() - startedAt) / intervalMs) * count;
  for (; beaten < due; beaten += 1)
    presence.seen({ ids: [idOf(beaten % count)], atMs: [Date.now()], beats: 1 });
}, 5);
serveRequests('present', z.never(), async () => undefined);
