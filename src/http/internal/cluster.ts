// Owns the administration's routes on the cluster: its log, its health, its replicas.
import { z } from 'zod';
import { identifier } from '../../fleet/identifiers.ts';
import type { Instances } from '../../fleet/instances.ts';
import { count, knownId, nodeId, time } from '../../fleet/shapes.ts';
import { auditShape, logLevels } from '../../log.ts';
import type { Lease } from '../../redis/lease.ts';
import type { LogLine, LogRing } from '../../redis/log-ring.ts';
import type { Presence } from '../../redis/presence.ts';
import { covers, type Scope } from '../../scope.ts';
import { serviceName } from '../controller/status.ts';
import { limit } from '../parameters.ts';
import { type Route, route, unchanged } from '../route.ts';

const logsQuery = z.object({
  q: z.string().max(1_000).optional().describe('Lines whose message contains this, in any case'),
  level: z.enum(logLevels).optional().describe('Lines of exactly this level'),
  event: z.string().max(64).optional(),
  orchestrator_id: identifier.optional(),
  limit: limit(200),
});

const logLine = z
  .object({
    id: z
      .string()
      .regex(/^\d+-\d+$/)
      .describe('Two numbers, that sort like time: by the first, then by the second; unique in the cluster'),
    timestamp: time,
    level: z.enum(logLevels),
    message: z.string(),
    source: z.string(),
    node_id: nodeId,
    event: z.string().optional(),
    orchestrator_id: knownId.optional(),
    audit: auditShape.optional().describe('Of `event: "audit"`: who did what, and with what outcome'),
  })
  .meta({ id: 'LogLine' });

/** How far the clocks of a replica, which writes lines, and of Postgres, which writes rows, may be apart. */
const clockDifferenceMs = 5_000;

export function clusterRoutes(fleet: {
  logRing: LogRing;
  instances: Instances;
  presence: Presence;
  lease: Lease;
}): Route[] {
  const { logRing, instances, presence, lease } = fleet;

  /** Those of the caller's organizations: of them, or of their orchestrators. */
  async function visibleLines(lines: readonly LogLine[], scope: Scope): Promise<readonly LogLine[]> {
    if (scope === undefined) return lines;
    const ids = new Set(lines.flatMap((line) => line.orchestrator_id ?? []));
    const own = await instances.within([...ids], scope);
    const isOfOwn = ({ orchestrator_id = '', timestamp }: LogLine) => {
      const since = own.get(orchestrator_id);
      // What is older is about another that had its id.
      return since !== undefined && Date.parse(timestamp) >= since.getTime() - clockDifferenceMs;
    };
    return lines.filter((line) =>
      line.organization_id === undefined ? isOfOwn(line) : covers(scope, line.organization_id),
    );
  }

  /** Connections of the caller's organizations, by node; undefined for a caller that sees the whole fleet. */
  async function connectedByNode(scope: Scope): Promise<Map<string, number> | undefined> {
    if (scope === undefined) return undefined;
    const counts = new Map<string, number>();
    for (const { organization_id, node_id } of (await presence.list()).all())
      if (covers(scope, organization_id)) counts.set(node_id, (counts.get(node_id) ?? 0) + 1);
    return counts;
  }

  return [
    route({
      method: 'get',
      path: '/logs',
      access: 'administer',
      operationId: 'listLogs',
      summary: 'The newest log lines of the whole cluster; reading them writes none',
      answers: {
        200: z.object({ data: z.object({ items: z.array(logLine), total: count }) }),
        304: unchanged,
      },
      query: logsQuery,
      async answer({ query, caller }) {
        const lines = await visibleLines(await logRing.read(), caller.scope);
        const matching = lines.filter((line) => matches(line, query));
        return {
          body: { data: { items: matching.slice(0, query.limit).map(presentLine), total: matching.length } },
        };
      },
    }),
    route({
      method: 'get',
      path: '/health',
      access: 'administer',
      operationId: 'getSocketHealth',
      summary: 'Health of the cluster’s sockets',
      answers: {
        200: z.object({
          service: z.literal(serviceName),
          ws: z.object({ status: z.literal('healthy'), active_connections: count }),
        }),
      },
      async answer({ caller }) {
        const connected = await connectedByNode(caller.scope);
        const count = connected?.values().reduce((sum, of) => sum + of, 0) ?? (await presence.count());
        return { body: { service: serviceName, ws: { status: 'healthy', active_connections: count } } };
      },
    }),
    route({
      method: 'get',
      path: '/nodes',
      access: 'administer',
      operationId: 'listNodes',
      summary: 'The live replicas',
      answers: {
        200: z.object({
          nodes: z.array(
            z.object({ node_id: nodeId, started_at: time, connections: count, draining: z.boolean() }),
          ),
          total_count: count,
        }),
      },
      async answer({ caller }) {
        const connected = await connectedByNode(caller.scope);
        const nodes = (await lease.list()).map((node) =>
          connected === undefined ? node : { ...node, connections: connected.get(node.node_id) ?? 0 },
        );
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

function presentLine(line: LogLine): z.output<typeof logLine> {
  const { id, timestamp, level, message, source, node_id, event, orchestrator_id, audit } = line;
  return { id, timestamp, level, message, source, node_id, event, orchestrator_id, audit };
}
