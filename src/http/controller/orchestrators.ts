// Owns the dashboard's routes on orchestrators: as rows, and live.
import { z } from 'zod';
import { requireOrganization } from '../../access/caller.ts';
import { notFound } from '../../fleet/errors.ts';
import { identifier } from '../../fleet/identifiers.ts';
import { type Instances, shownStatuses } from '../../fleet/instances.ts';
import { type JsonSchemas, text } from '../../fleet/json.ts';
import type { Registrations } from '../../fleet/registrations.ts';
import { count, deletedRows, knownId } from '../../fleet/shapes.ts';
import type { Presence } from '../../redis/presence.ts';
import { covers } from '../../scope.ts';
import { cutPage, idParams, optionalPageQuery, pageQuery } from '../parameters.ts';
import { instance, pageOf, presentInstance, presentPage } from '../presenters.ts';
import { type Route, route, unchanged } from '../route.ts';
import { createLiveBodies, live, presentLive } from './live.ts';

const bodies = ({ jsonContainer, jsonObject }: JsonSchemas) => ({
  newInstance: z
    .object({
      org_id: identifier,
      orchestrator_id: identifier.nullish(),
      name: text(1, 255),
      location: text(1, 255).nullish(),
      features: jsonContainer.nullish(),
      metadata: jsonObject.nullish(),
    })
    .meta({ examples: [{ org_id: 'org-002', orchestrator_id: 'org-002-b', name: 'Harbour' }] }),
});

const instancePage = pageOf('InstancePage', instance);
const liveOrchestrator = live.meta({ id: 'LiveOrchestrator' });

export function orchestratorRoutes(fleet: {
  instances: Instances;
  registrations: Registrations;
  presence: Presence;
  jsonSchemas: JsonSchemas;
}): Route[] {
  const { instances, registrations, presence, jsonSchemas } = fleet;
  const { newInstance } = bodies(jsonSchemas);
  const liveBodyOf = createLiveBodies();
  return [
    route({
      method: 'get',
      path: '/orchestrators',
      access: 'fleet.read',
      operationId: 'listOrchestrators',
      summary: 'List orchestrator instances, newest first',
      answers: { 200: instancePage, 304: unchanged },
      query: pageQuery.extend({
        organization_id: identifier.optional(),
        status: z.enum(shownStatuses).optional(),
      }),
      async answer({ query, caller }) {
        const request = {
          page: query.page,
          pageSize: query.page_size,
          organizationId: query.organization_id,
          status: query.status,
        };
        const page = await instances.list(request, caller.scope);
        return { body: presentPage(page, presentInstance) };
      },
    }),
    route({
      method: 'get',
      path: '/orchestrators/live',
      access: 'fleet.read',
      operationId: 'listLiveOrchestrators',
      summary: 'List the orchestrators connected right now, from Redis alone',
      description: 'All of them, unless `page` or `page_size` is given. `total_count` counts them all.',
      answers: {
        200: z.object({
          orchestrators: z.record(z.string(), liveOrchestrator).describe('By `orchestrator_id`'),
          total_count: count,
        }),
        304: unchanged,
      },
      query: optionalPageQuery.extend({ organization_id: identifier.optional() }),
      async answer({ query, caller }) {
        const list = await presence.list();
        if (caller.scope === undefined && Object.values(query).every((wish) => wish === undefined))
          return { body: liveBodyOf(list) };
        const all = list
          .all()
          .filter(
            (each) =>
              (query.organization_id === undefined || each.organization_id === query.organization_id) &&
              covers(caller.scope, each.organization_id),
          );
        const shown = cutPage(all, query).map((each) => [each.orchestrator_id, presentLive(each)]);
        return { body: { orchestrators: Object.fromEntries(shown), total_count: all.length } };
      },
    }),
    route({
      method: 'get',
      path: '/orchestrators/live/:id',
      access: 'fleet.read',
      operationId: 'getLiveOrchestrator',
      summary: 'Get one orchestrator that is connected right now',
      answers: { 200: z.object({ orchestrator_id: knownId, ...live.shape }) },
      params: idParams,
      async answer({ params, caller }) {
        const present = await presence.get(params.id);
        if (present === undefined || !covers(caller.scope, present.organization_id))
          throw notFound('Live orchestrator', params.id);
        return { body: { orchestrator_id: params.id, ...presentLive(present) } };
      },
    }),
    route({
      method: 'get',
      path: '/orchestrators/:id',
      access: 'fleet.read',
      operationId: 'getOrchestrator',
      summary: 'Get one orchestrator instance',
      answers: { 200: instance },
      params: idParams,
      async answer({ params, caller }) {
        return { body: presentInstance(await instances.get(params.id, caller.scope)) };
      },
    }),
    route({
      method: 'post',
      path: '/orchestrator-instances',
      access: 'fleet.write',
      audit: {
        action: 'instance.create',
        on: ({ body }) => ({
          organization_id: body.org_id,
          orchestrator_id: body.orchestrator_id ?? body.org_id,
        }),
      },
      operationId: 'createOrchestratorInstance',
      summary: 'Create a placeholder for an orchestrator that will connect later',
      description: '`orchestrator_id` defaults to `org_id`. The organization is created if there is none.',
      answers: { 201: instance },
      errors: { 409: 'already_exists' },
      body: newInstance,
      async answer({ body, caller }) {
        requireOrganization(caller, body.org_id);
        const created = await instances.create({
          organizationId: body.org_id,
          orchestratorId: body.orchestrator_id ?? body.org_id,
          name: body.name,
          location: body.location ?? undefined,
          features: body.features,
          metadata: body.metadata,
          scope: caller.scope,
        });
        const message = `Orchestrator instance ${created.orchestratorId} created successfully`;
        return { status: 201, message, body: presentInstance(created) };
      },
    }),
    route({
      method: 'delete',
      path: '/orchestrator-instances/:id',
      access: 'fleet.write',
      audit: { action: 'instance.delete', on: ({ params }) => ({ orchestrator_id: params.id }) },
      operationId: 'deleteOrchestratorInstance',
      summary: 'Delete an orchestrator instance, its messages, and its organization if that has no other',
      description: 'A connection that it has is closed.',
      answers: { 200: z.object({ orchestrator_id: knownId, deleted: deletedRows }) },
      params: idParams,
      async answer({ params, caller }) {
        const { deleted, organizationId } = await registrations.deleteInstance(params.id, caller.scope);
        const message = `Orchestrator instance ${params.id} deleted`;
        return {
          message,
          about: { organization_id: organizationId },
          body: { orchestrator_id: params.id, deleted },
        };
      },
    }),
  ];
}
