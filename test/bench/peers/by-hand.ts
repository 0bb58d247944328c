// The process of a peer: the lists as somebody writes them by hand, over node:http and `pg`. The same rows and the same
// JSON, and nothing else: no door, no limits, no log, no metrics, nothing is hidden.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'pg';
import { z } from 'zod';
import { readOptions, serveRequests } from '../answering.ts';

const { databaseUrl } = readOptions(z.object({ databaseUrl: z.string() }));
const pool = new Pool({ connectionString: databaseUrl, max: 10 });

const messageColumns =
  'id, orchestrator_id, message_type, content, message_metadata AS metadata, status, created_at, updated_at';
const instanceColumns = `i.orchestrator_id, i.organization_id, i.name, o.name AS organization_name, i.location,
  CASE WHEN i.is_independent THEN 'independent' ELSE i.status END AS status, i.health_status, i.is_independent,
  i.privacy_mode, i.last_seen, i.features, i.metadata, i.session_config, i.monitoring_enabled, i.internal_url,
  i.container_id, i.image_name, i.phoenix_endpoint, i.created_at, i.updated_at`;

/** Conditions on a query's parameters, with `?` in place of the value. */
function filter(query: URLSearchParams, conditions: Readonly<Record<string, string>>) {
  const values: unknown[] = [];
  const texts: string[] = [];
  for (const [name, condition] of Object.entries(conditions)) {
    const value = query.get(name);
    if (value === null) continue;
    values.push(name === 'organizations' ? value.split(',') : value);
    texts.push(condition.replaceAll('?', `$${values.length}`));
  }
  return { values, where: texts.length === 0 ? '' : `WHERE ${texts.join(' AND ')}` };
}

const ask = async (text: string, values: unknown[]) =>
  (await pool.query<Record<string, unknown>>(text, values)).rows;

async function listMessages(query: URLSearchParams) {
  const conditions = {
    orchestrator_id: 'orchestrator_id = ?',
    status: 'status = ?',
    message_type: 'message_type = ?',
    organizations:
      'orchestrator_id IN (SELECT orchestrator_id FROM orchestrator_instances WHERE organization_id = ANY (?))',
  };
  const all = filter(query, conditions);
  const page = filter(query, {
    ...conditions,
    before: '(created_at, id) < (SELECT created_at, id FROM orchestrator_messages WHERE id = ?)',
  });
  const [counted, messages] = await Promise.all([
    ask(`SELECT count(*)::int AS total FROM orchestrator_messages ${all.where}`, all.values),
    ask(
      `SELECT ${messageColumns} FROM orchestrator_messages ${page.where}
       ORDER BY created_at DESC, id DESC LIMIT ${Number(query.get('limit') ?? 100)}`,
      page.values,
    ),
  ]);
  return { messages, total_count: counted[0]?.total };
}

async function listInstances(query: URLSearchParams) {
  const { values, where } = filter(query, { organization_id: 'i.organization_id = ?' });
  const [page, size] = [Number(query.get('page') ?? 1), Number(query.get('page_size') ?? 20)];
  const [counted, items] = await Promise.all([
    ask(`SELECT count(*)::int AS total FROM orchestrator_instances i ${where}`, values),
    ask(
      `SELECT ${instanceColumns} FROM orchestrator_instances i JOIN organizations o USING (organization_id) ${where}
       ORDER BY i.created_at DESC, i.orchestrator_id DESC LIMIT ${size} OFFSET ${(page - 1) * size}`,
      values,
    ),
  ]);
  const total = Number(counted[0]?.total);
  const pages = Math.ceil(total / size);
  const place = { page, page_size: size, total_items: total, total_pages: pages };
  return { data: { items, ...place, has_next: page < pages, has_prev: page > 1 } };
}

const http = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://peer');
  const list = pathname === '/messages' ? listMessages : listInstances;
  const head = { success: true, message: 'OK', timestamp: new Date().toISOString() };
  const body = Buffer.from(JSON.stringify({ ...head, ...(await list(searchParams)) }));
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
});
await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
const { port } = http.address() as AddressInfo;
serveRequests({ url: `http://127.0.0.1:${port}` }, z.never(), async () => undefined);
