// Owns the dashboard's routes on organizations.
import { z } from 'zod';
import { identifier } from '../../fleet/identifiers.ts';
import { type JsonSchemas, text } from '../../fleet/json.ts';
import type { Organizations } from '../../fleet/organizations.ts';
import { idParams, pageQuery } from '../parameters.ts';
import { presentOrganization, presentPage } from '../presenters.ts';
import { type Route, route } from '../route.ts';

const bodies = ({ jsonContainer, jsonObject }: JsonSchemas) => ({
  newOrganization: z.object({
    org_id: identifier,
    name: text(1, 255),
    location: text(1, 255).nullish(),
    features: jsonContainer.nullish(),
    settings: jsonObject.nullish(),
    metadata: jsonObject.nullish(),
  }),
});

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
      summary: 'List organizations, newest first',
      query: pageQuery,
      async answer({ query }) {
        const page = await organizations.list({ page: query.page, pageSize: query.page_size });
        return { body: presentPage(page, presentOrganization) };
      },
    }),
    route({
      method: 'get',
      path: '/organizations/:id',
      summary: 'Get one organization',
      params: idParams,
      async answer({ params }) {
        return { body: presentOrganization(await organizations.get(params.id)) };
      },
    }),
    route({
      method: 'post',
      path: '/organizations',
      summary: 'Create an organization',
      responses: { 201: 'Created', 409: 'already_exists' },
      body: newOrganization,
      async answer({ body }) {
        const organization = await organizations.create({
          organizationId: body.org_id,
          name: body.name,
          location: body.location ?? undefined,
          features: body.features,
          settings: body.settings,
          metadata: body.metadata,
        });
        const message = `Organization ${organization.organizationId} created successfully`;
        return { status: 201, message, body: presentOrganization(organization) };
      },
    }),
  ];
}
