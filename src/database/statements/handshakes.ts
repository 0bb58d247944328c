// Owns the statements that a batch of handshakes is written with.
import type { Query, Statements } from '../database.ts';
import { LostRace } from '../failures.ts';
import { settleOrganizations } from './disconnects.ts';

export interface Introduction {
  orchestratorId: string;
  organizationId: string;
  /** Absent: the row keeps what it has, or gets its default when it is new. So for the next three. */
  name: string | undefined;
  location: string | undefined;
  features: unknown;
  metadata: unknown;
  /** The epoch this very socket holds already, when it introduces itself again. */
  epoch: number | undefined;
  nodeId: string;
  at: Date;
}

export interface Introduced {
  kind: 'introduced';
  /** Higher than every epoch given before in the whole fleet, or the same for a repeat by the socket that holds it. */
  epoch: number;
  organizationId: string;
  name: string;
  location: string;
  features: unknown;
  metadata: unknown;
  /** The organization's. */
  settings: unknown;
}

/** A repeat by a socket whose epoch is not the row's any more: nothing was written for it. */
export interface Overtaken {
  kind: 'superseded';
  epoch: number;
  nodeId: string;
}

const input = `jsonb_to_recordset($1::jsonb) AS h (
  orchestrator_id text, organization_id text, name text, location text, features jsonb, metadata jsonb,
  epoch bigint, node_id text, at timestamptz)`;

// An organization's own namesake speaks for it; any other of its orchestrators only fills in what is missing.
const tenants = (condition: string) => `(
  SELECT DISTINCT ON (organization_id) *, orchestrator_id = organization_id AS namesake FROM ${input}
  WHERE ${condition}
  ORDER BY organization_id, orchestrator_id = organization_id DESC, orchestrator_id)`;

const insertOrganizations = `
  INSERT INTO organizations (organization_id, name, location, features, metadata)
  SELECT organization_id, COALESCE(name, 'Organization ' || organization_id), COALESCE(location, 'unknown'),
         COALESCE(features, '{}'), COALESCE(metadata, '{}')
  FROM ${tenants('epoch IS NULL')} t ORDER BY organization_id
  ON CONFLICT DO NOTHING`;

// Organizations that one of their orchestrators leaves for another.
const findLeft = `
  SELECT DISTINCT i.organization_id FROM orchestrator_instances i JOIN ${input} USING (orchestrator_id)
  WHERE i.organization_id <> h.organization_id`;

const lockOrganizations = `
  SELECT organization_id FROM organizations
  WHERE organization_id = ANY ($2::text[]) OR organization_id IN (SELECT organization_id FROM ${input})
  ORDER BY organization_id FOR NO KEY UPDATE`;

const updateOrganizations = `
  WITH hello AS ${tenants('true')}, locked AS MATERIALIZED (
    SELECT o.organization_id FROM organizations o JOIN hello USING (organization_id)
    ORDER BY o.organization_id FOR NO KEY UPDATE OF o
  )
  UPDATE organizations o
  SET status = 'active', last_seen = GREATEST(o.last_seen, h.at), updated_at = h.at,
      name = CASE WHEN h.namesake THEN COALESCE(h.name, o.name) ELSE o.name END,
      location = CASE WHEN h.namesake THEN COALESCE(h.location, o.location) ELSE o.location END,
      features = CASE WHEN h.namesake THEN COALESCE(h.features, o.features) ELSE o.features END,
      metadata = CASE WHEN h.namesake THEN COALESCE(h.metadata, o.metadata) ELSE o.metadata END
  FROM hello h JOIN locked USING (organization_id)
  WHERE o.organization_id = h.organization_id
  RETURNING o.organization_id, o.settings`;

const insertInstances = `
  INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name)
  SELECT orchestrator_id, organization_id, COALESCE(name, 'Organization ' || orchestrator_id)
  FROM ${input} WHERE epoch IS NULL ORDER BY orchestrator_id
  ON CONFLICT DO NOTHING`;

const findEpochs = `
  SELECT orchestrator_id, connection_epoch, node_id FROM orchestrator_instances WHERE orchestrator_id = ANY ($1::text[])`;

const updateInstances = `
  WITH hello AS (SELECT * FROM ${input}), locked AS MATERIALIZED (
    SELECT i.orchestrator_id, i.organization_id AS previous
    FROM orchestrator_instances i JOIN hello USING (orchestrator_id)
    ORDER BY i.orchestrator_id FOR NO KEY UPDATE OF i
  )
  UPDATE orchestrator_instances i
  SET organization_id = h.organization_id, status = 'active', health_status = 'healthy',
      last_seen = GREATEST(i.last_seen, h.at), updated_at = h.at, node_id = h.node_id,
      name = COALESCE(h.name, i.name), location = COALESCE(h.location, i.location),
      features = COALESCE(h.features, i.features), metadata = COALESCE(h.metadata, i.metadata),
      connection_epoch = COALESCE(h.epoch, nextval('connection_epochs'))
  FROM hello h JOIN locked USING (orchestrator_id)
  WHERE i.orchestrator_id = h.orchestrator_id AND (h.epoch IS NULL OR h.epoch = i.connection_epoch)
  RETURNING i.orchestrator_id, i.organization_id, locked.previous, i.connection_epoch, i.name, i.location, i.features, i.metadata`;

/**
 * Writes a batch that names no orchestrator twice, in one transaction; the results come in its order. A raised
 * epoch is what makes the connection the one that counts.
 * @throws when Postgres cannot be asked, and with a missing reference when an organization was deleted meanwhile:
 *   both pass, and the batch may be written again
 */
export async function writeHandshakes(
  database: Statements,
  hellos: readonly Introduction[],
): Promise<(Introduced | Overtaken)[]> {
  const parameters = [
    JSON.stringify(
      hellos.map((hello) => ({
        orchestrator_id: hello.orchestratorId,
        organization_id: hello.organizationId,
        name: hello.name,
        location: hello.location,
        features: hello.features,
        metadata: hello.metadata,
        epoch: hello.epoch,
        node_id: hello.nodeId,
        at: hello.at,
      })),
    ),
  ];
  const [organizations, instances, newer] = await database.transaction(async (query: Query) => {
    await query(insertOrganizations, parameters);
    const left = (await query(findLeft, parameters)).map((row) => row.organization_id);
    if (left.length > 0) await query(lockOrganizations, [...parameters, left]);
    const written = await query(updateOrganizations, parameters);
    await query(insertInstances, parameters);
    const updated = await query(updateInstances, parameters);
    const moved = updated.filter((row) => row.previous !== row.organization_id);
    if (moved.some((row) => !left.includes(row.previous)))
      throw new LostRace('an orchestrator moved between two statements');
    await settleOrganizations(query, left);
    const overtaken = hellos.length === updated.length ? [] : hellos.map((hello) => hello.orchestratorId);
    return [written, updated, overtaken.length === 0 ? [] : await query(findEpochs, [overtaken])] as const;
  });
  const settings = new Map(organizations.map((row) => [row.organization_id, row.settings]));
  const newerById = new Map(newer.map((row) => [row.orchestrator_id, row]));
  const byId = new Map(instances.map((row) => [row.orchestrator_id, row]));
  return hellos.map((hello) => {
    const row = byId.get(hello.orchestratorId);
    if (row === undefined) {
      const newer = newerById.get(hello.orchestratorId);
      return {
        kind: 'superseded',
        epoch: Number(newer?.connection_epoch ?? hello.epoch),
        nodeId: String(newer?.node_id ?? 'none'),
      };
    }
    return {
      kind: 'introduced',
      epoch: Number(row.connection_epoch),
      organizationId: String(row.organization_id),
      name: String(row.name),
      location: String(row.location),
      features: row.features,
      metadata: row.metadata,
      settings: settings.get(row.organization_id) ?? {},
    };
  });
}
