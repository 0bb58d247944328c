// The process of a peer: what people write first for who is connected, reading and formatting the hash on each call.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import Koa from 'koa';
import { z } from 'zod';
import { createKeys } from '../../../src/redis/keys.ts';
import { readOptions, serveRequests } from '../answering.ts';

const { redisUrl, nodeId } = readOptions(z.object({ redisUrl: z.url(), nodeId: z.string() }));
const redis = new Redis(redisUrl);
const key = createKeys('moolai').presence(nodeId);

interface Entry {
  organization_id: string;
  name: string;
  connected_at: string;
  metadata: unknown;
}

const app = new Koa();
app.use(async (ctx) => {
  const orchestrators: Record<string, unknown> = {};
  const found = Object.entries(await redis.hgetall(key));
  for (const [id, json] of found) {
    const { organization_id, name, connected_at, metadata }: Entry = JSON.parse(json);
    orchestrators[id] = {
      ...{ organization_id, name, status: 'connected', connected_at },
      // Of the sorted set beside it nothing is read: that is to this peer's favour.
      ...{ last_seen: connected_at, node_id: nodeId, metadata },
    };
  }
  ctx.body = {
    ...{ success: true, message: 'OK', timestamp: new Date().toISOString() },
    data: { orchestrators, total_count: found.length },
  };
});
const http = createServer(app.callback());
await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
const { port } = http.address() as AddressInfo;
serveRequests({ url: `http://127.0.0.1:${port}` }, z.never(), async () => undefined);
