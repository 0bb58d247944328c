// Owns the statement that counts the rows of all tables in one snapshot.
import { z } from 'zod';
import { asArray, type Scope } from '../../scope.ts';
import type { Query } from '../pool.ts';
import { wholeFleet } from './message-lists.ts';

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
    'organizations', (SELECT count(*) FROM organizations WHERE $1::text[] IS NULL OR organization_id = ANY ($1)),
    'pending_messages', CASE WHEN $1::text[] IS NULL
      THEN (SELECT COALESCE(sum(messages), 0) FROM orchestrator_message_counts
            WHERE status = 'pending' AND whose IN (${wholeFleet}))
      ELSE (SELECT COALESCE(sum(c.messages), 0) FROM orchestrator_instances i, LATERAL (
              SELECT sum(messages) AS messages FROM orchestrator_message_counts
              WHERE status = 'pending' AND whose = i.orchestrator_id) c
            WHERE i.organization_id = ANY ($1)) END,
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
      FROM orchestrator_instances WHERE $1::text[] IS NULL OR organization_id = ANY ($1))
  )::text AS counts`;

export async function countRows(query: Query, scope: Scope): Promise<RowCounts> {
  const [row] = await query(statement, [asArray(scope)]);
  return schema.parse(JSON.parse(String(row?.counts)));
}
