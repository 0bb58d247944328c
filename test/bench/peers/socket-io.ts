// The process of a peer: a bare Socket.IO server that acknowledges, and either does nothing else or what people write first.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'pg';
import { Server } from 'socket.io';
import { z } from 'zod';
import { readOptions, serveRequests } from '../answering.ts';

const { databaseUrl } = readOptions(z.object({ databaseUrl: z.string().optional() }));
const pool = databaseUrl === undefined ? undefined : new Pool({ connectionString: databaseUrl, max: 10 });

/** Two upserts a handshake, one SELECT and one UPDATE a heartbeat, each a round trip of its own. */
async function shakeHands(id: string): Promise<void> {
  await pool?.query(
    `INSERT INTO organizations (organization_id, name, status, last_seen) VALUES ($1, $2, 'active', now())
     ON CONFLICT (organization_id) DO UPDATE SET status = 'active', last_seen = now()`,
    [id, id],
  );
  await pool?.query(
    `INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name, status, last_seen)
     VALUES ($1, $1, $2, 'active', now())
     ON CONFLICT (orchestrator_id) DO UPDATE SET status = 'active', last_seen = now()`,
    [id, id],
  );
}

async function beat(id: string): Promise<string> {
  const found = await pool?.query<{ is_independent: boolean }>(
    'SELECT is_independent FROM orchestrator_instances WHERE orchestrator_id = $1',
    [id],
  );
  if (found === undefined) return 'processed';
  if (found.rows[0]?.is_independent !== false) return 'ignored';
  await pool?.query(
    "UPDATE orchestrator_instances SET last_seen = now(), status = 'active', health_status = 'healthy' WHERE orchestrator_id = $1",
    [id],
  );
  return 'processed';
}

const http = createServer();
const io = new Server(http, { path: '/ws', addTrailingSlash: false, serveClient: false });
io.on('connection', (socket) => {
  let id = '';
  socket.on('handshake', async (hello: { data: { orchestrator_id: string } }, acknowledge) => {
    id = hello.data.orchestrator_id;
    if (pool !== undefined) await shakeHands(id);
    acknowledge({ type: 'handshake_ack', orchestrator_id: id });
  });
  if (pool === undefined)
    socket.on('i_am_alive', (_beat, acknowledge) =>
      acknowledge({ type: 'i_am_alive_ack', status: 'processed', ts: new Date().toISOString() }),
    );
  else
    socket.on('i_am_alive', async (_beat, acknowledge) =>
      acknowledge({ type: 'i_am_alive_ack', status: await beat(id), ts: new Date().toISOString() }),
    );
});
await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
const { port } = http.address() as AddressInfo;
serveRequests({ url: `http://127.0.0.1:${port}` }, z.never(), async () => undefined);
