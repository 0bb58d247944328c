// Owns the statement that counts the rows of all tables in one snapshot.
import { z } from 'zod';
import type { Query } from '../database.ts';

const schema = z.object({
  organizations: z.int(),
  instances: z.object({
    total: z.int(),
    by_status: z.object({ active: z.int(), inactive: z.int(), independent: z.int() }),
    by_health: z.object({ healthy: z.int(), degraded: z.int(), unhealthy: z.int(), unknown: z.int() }),
  }),
  pending_messages: z.int(),
});

export type RowCounts = z.infer<typeof schema>;

const statement = `
  SELECT json_build_object(
    'organizations', (SELECT count(*) FROM organizations),
    'pending_messages', (SELECT count(*) FROM orchestrator_messages WHERE status = 'pending'),
    'instances', (SELECT json_build_object(
      'total', count(*),
      'by_status', json_build_object(
        'active', count(*) FILTER (WHERE status = 'active' AND NOT is_independent),
        'inactive', count(*) FILTER (WHERE status = 'inactive' AND NOT is_independent),
        'independent', count(*) FILTER (WHERE is_independent)),
      'by_health', json_build_object(
        'healthy', count(*) FILTER (WHERE health_status = 'healthy'),
        'degraded', count(*) FILTER (WHERE health_status = 'degraded'),
        'unhealthy', count(*) FILTER (WHERE health_status = 'unhealthy'),
        'unknown', count(*) FILTER (WHERE health_status = 'unknown')))
      FROM orchestrator_instances)
  )::text AS counts`;

export async function countRows(query: Query): Promise<RowCounts> {
  const [row] = await query(statement);
  return schema.parse(JSON.parse(String(row?.counts)));
}
