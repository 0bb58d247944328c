// Owns the routes that ask the process, not the fleet: probes for a load balancer, health for a person, metrics.
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { Readiness } from '../fleet/readiness.ts';
import { nodeId as replicaId, time } from '../fleet/shapes.ts';
import type { Metrics } from '../metrics.ts';
import { serviceName, stores } from './controller/status.ts';
import { type Route, route } from './route.ts';

const faultList = z.array(z.string()).describe('What keeps this replica from taking calls');
const notReady = z.object({ status: z.literal('not ready'), node_id: replicaId, faults: faultList.min(1) });

export function processRoutes(controller: {
  readiness: Readiness;
  metrics: Metrics;
  nodeId: string;
  startedAt: string;
  clock: Clock;
}): Route[] {
  const { readiness, metrics, nodeId, startedAt, clock } = controller;
  return [
    route({
      method: 'get',
      path: '/health/live',
      access: 'public',
      operationId: 'getLiveness',
      summary: 'The process runs; asks no store',
      answers: { 200: z.object({ status: z.literal('alive'), node_id: replicaId }) },
      async answer() {
        return { body: { status: 'alive', node_id: nodeId } };
      },
    }),
    route({
      method: 'get',
      path: '/health/ready',
      access: 'public',
      operationId: 'getReadiness',
      summary: 'This replica can take calls; 503 saying what keeps it from that',
      answers: {
        200: z
          .object({ status: z.literal('ready'), node_id: replicaId, faults: faultList.max(0) })
          .describe('Ready'),
        503: notReady.describe('Not ready: `faults` says why'),
      },
      async answer() {
        const faults = await readiness.faults();
        return faults.length === 0
          ? { body: { status: 'ready', node_id: nodeId, faults } }
          : { status: 503, body: { status: 'not ready', node_id: nodeId, faults } };
      },
    }),
    route({
      method: 'get',
      path: '/health',
      access: 'public',
      operationId: 'getHealth',
      summary: 'Health for people',
      answers: {
        200: z.object({
          service: z.literal(serviceName),
          status: z.enum(['healthy', 'degraded']),
          node_id: replicaId,
          started_at: time,
          dependencies: stores,
          faults: faultList,
          timestamp: time,
        }),
      },
      async answer() {
        const { stores: dependencies, faults } = await readiness.check();
        return {
          body: {
            service: serviceName,
            status: faults.length === 0 ? 'healthy' : 'degraded',
            node_id: nodeId,
            started_at: startedAt,
            dependencies,
            faults,
            timestamp: new Date(clock.now()).toISOString(),
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/metrics',
      access: 'public',
      operationId: 'getMetrics',
      summary: 'Metrics of this replica, as Prometheus reads them',
      answers: { 200: { mediaTypes: ['text/plain'] } },
      async answer() {
        return { body: await metrics.render(), headers: { 'Content-Type': metrics.contentType } };
      },
    }),
  ];
}
