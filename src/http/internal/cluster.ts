// Owns the administration's routes on the cluster: its log, its health, its replicas.
import { z } from 'zod';
import { identifier } from '../../fleet/identifiers.ts';
import type { Lease } from '../../redis/lease.ts';
import type { LogLine, LogRing } from '../../redis/log-ring.ts';
import type { Presence } from '../../redis/presence.ts';
import { serviceName } from '../controller/status.ts';
import { limit } from '../parameters.ts';
import { type Route, route } from '../route.ts';

const logLevels = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const;
const logsQuery = z.object({
  q: z.string().max(1_000).optional().describe('Lines whose message contains this, in any case'),
  level: z.enum(logLevels).optional().describe('Lines of exactly this level'),
  event: z.string().max(64).optional(),
  orchestrator_id: identifier.optional(),
  limit: limit(200),
});

export function clusterRoutes(fleet: { logRing: LogRing; presence: Presence; lease: Lease }): Route[] {
  const { logRing, presence, lease } = fleet;
  return [
    route({
      method: 'get',
      path: '/logs',
      summary: 'The newest log lines of the whole cluster; reading them writes none',
      query: logsQuery,
      async answer({ query }) {
        const matching = (await logRing.read()).filter((line) => matches(line, query));
        return {
          body: { data: { items: matching.slice(0, query.limit).map(presentLine), total: matching.length } },
        };
      },
    }),
    route({
      method: 'get',
      path: '/health',
      summary: 'Health of the cluster’s sockets',
      async answer() {
        return {
          body: {
            service: serviceName,
            ws: { status: 'healthy', active_connections: await presence.count() },
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/nodes',
      summary: 'The live replicas',
      async answer() {
        const nodes = await lease.list();
        return { body: { nodes, total_count: nodes.length } };
      },
    }),
  ];
}

function matches(line: LogLine, query: z.output<typeof logsQuery>): boolean {
  return (
    (query.level === undefined || line.level === query.level) &&
    (query.event === undefined || line.event === query.event) &&
    (query.orchestrator_id === undefined || line.orchestrator_id === query.orchestrator_id) &&
    (query.q === undefined || line.message.toLowerCase().includes(query.q.toLowerCase()))
  );
}

function presentLine({ id, timestamp, level, message, source, node_id, event, orchestrator_id }: LogLine) {
  return { id, timestamp, level, message, source, node_id, event, orchestrator_id };
}
