// Owns the dashboard's routes on organizations.
import { z } from 'zod';
import { requireOrganization } from '../../access/caller.ts';
import { identifier } from '../../fleet/identifiers.ts';
import { type JsonSchemas, text } from '../../fleet/json.ts';
import type { Organizations } from '../../fleet/organizations.ts';
import { idParams, pageQuery } from '../parameters.ts';
import { organization, pageOf, presentOrganization, presentPage } from '../presenters.ts';
import { type Route, route, unchanged } from '../route.ts';

const bodies = ({ jsonContainer, jsonObject }: JsonSchemas) => ({
  newOrganization: z
    .object({
      org_id: identifier,
      name: text(1, 255),
      location: text(1, 255).nullish(),
      features: jsonContainer.nullish(),
      settings: jsonObject.nullish(),
      metadata: jsonObject.nullish(),
    })
    .meta({ examples: [{ org_id: 'org-002', name: 'Harbour', location: 'Oslo' }] }),
});

const organizationPage = pageOf('OrganizationPage', organization);

export function organizationRoutes(fleet: {
  organizations: Organizations;
  jsonSchemas: JsonSchemas;
}): Route[] {
  const { organizations, jsonSchemas } = fleet;
  const { newOrganization } = bodies(jsonSchemas);
  return [
    route({
      method: 'get',
      path: '/organizations',
      access: 'fleet.read',
      operationId: 'listOrganizations',
      summary: 'List organizations, newest first',
      answers: { 200: organizationPage, 304: unchanged },
      query: pageQuery,
      async answer({ query, caller }) {
        const page = await organizations.list({ page: query.page, pageSize: query.page_size }, caller.scope);
        return { body: presentPage(page, presentOrganization) };
      },
    }),
    route({
      method: 'get',
      path: '/organizations/:id',
      access: 'fleet.read',
      operationId: 'getOrganization',
      summary: 'Get one organization',
      answers: { 200: organization },
      params: idParams,
      async answer({ params, caller }) {
        return { body: presentOrganization(await organizations.get(params.id, caller.scope)) };
      },
    }),
    route({
      method: 'post',
      path: '/organizations',
      access: 'fleet.write',
      audit: { action: 'organization.create', on: ({ body }) => ({ organization_id: body.org_id }) },
      operationId: 'createOrganization',
      summary: 'Create an organization',
      answers: { 201: organization },
      errors: { 409: 'already_exists' },
      body: newOrganization,
      async answer({ body, caller }) {
        requireOrganization(caller, body.org_id);
        const created = await organizations.create({
          organizationId: body.org_id,
          name: body.name,
          location: body.location ?? undefined,
          features: body.features,
          settings: body.settings,
          metadata: body.metadata,
        });
        const message = `Organization ${created.organizationId} created successfully`;
        return { status: 201, message, body: presentOrganization(created) };
      },
    }),
  ];
}
