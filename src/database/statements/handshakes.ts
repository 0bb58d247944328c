// Owns the statements that a batch of handshakes is written with.

import { isoTime } from '../../iso-time.ts';
import { LostRace } from '../failures.ts';
import type { Query, Row, Statements } from '../pool.ts';
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
  /** Whether it may be of the organization that it names, when it is of this one so far (undefined: it is new). */
  mayJoin(from: string | undefined): boolean;
  /** Whether its socket is still there: asked whenever it is about to be written. */
  wanted(): boolean;
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

/** Its socket was gone before it could be written: nothing was written for it. */
export interface Abandoned {
  kind: 'abandoned';
}

/** It may not be of the organization that it names: nothing was written for it. */
export interface Foreign {
  kind: 'foreign';
}

export type HandshakeOutcome = Introduced | Overtaken | Abandoned | Foreign;

const input = `jsonb_to_recordset($1::jsonb) AS h (
  orchestrator_id text, organization_id text, name text, location text, features jsonb, metadata jsonb,
  epoch bigint, node_id text, at timestamptz, seen_epoch bigint, seen_organization_id text)`;

// An organization's own namesake speaks for it; any other of its orchestrators only fills in what is missing.
const tenantsOf = (hellos: string) => `(
  SELECT DISTINCT ON (organization_id) *, orchestrator_id = organization_id AS namesake FROM ${hellos}
  ORDER BY organization_id, orchestrator_id = organization_id DESC, orchestrator_id)`;

const findInstances = `
  SELECT orchestrator_id, organization_id, connection_epoch, node_id FROM orchestrator_instances
  WHERE orchestrator_id = ANY ($1::text[])`;

const insertOrganizations = `
  INSERT INTO organizations (organization_id, name, location, features, metadata)
  SELECT organization_id, COALESCE(name, 'Organization ' || organization_id), COALESCE(location, 'unknown'),
         COALESCE(features, '{}'), COALESCE(metadata, '{}')
  FROM ${tenantsOf(input)} t ORDER BY organization_id
  ON CONFLICT DO NOTHING`;

const lockOrganizations = `
  SELECT organization_id FROM organizations WHERE organization_id = ANY ($1::text[])
  ORDER BY organization_id FOR NO KEY UPDATE`;

const insertInstances = `
  INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name)
  SELECT orchestrator_id, organization_id, COALESCE(name, 'Organization ' || orchestrator_id)
  FROM ${input} WHERE epoch IS NULL ORDER BY orchestrator_id
  ON CONFLICT DO NOTHING`;

// $2 are the organizations again: how many the JSON has the planner does not know, and would read the table whole.
const update = `
  WITH h AS MATERIALIZED (SELECT * FROM ${input}), instance AS (
    UPDATE orchestrator_instances i
    SET organization_id = h.organization_id, status = 'active', health_status = 'healthy',
        last_seen = GREATEST(i.last_seen, h.at), updated_at = h.at, node_id = h.node_id,
        name = COALESCE(h.name, i.name), location = COALESCE(h.location, i.location),
        features = COALESCE(h.features, i.features), metadata = COALESCE(h.metadata, i.metadata),
        connection_epoch = COALESCE(h.epoch, nextval('connection_epochs'))
    FROM h
    WHERE i.orchestrator_id = h.orchestrator_id AND i.connection_epoch = h.seen_epoch
      AND i.organization_id = h.seen_organization_id
    RETURNING i.orchestrator_id, i.organization_id, i.connection_epoch, i.name, i.location, i.features, i.metadata
  ), organization AS (
    UPDATE organizations o
    SET status = 'active', last_seen = GREATEST(o.last_seen, t.at), updated_at = t.at,
        name = CASE WHEN t.namesake THEN COALESCE(t.name, o.name) ELSE o.name END,
        location = CASE WHEN t.namesake THEN COALESCE(t.location, o.location) ELSE o.location END,
        features = CASE WHEN t.namesake THEN COALESCE(t.features, o.features) ELSE o.features END,
        metadata = CASE WHEN t.namesake THEN COALESCE(t.metadata, o.metadata) ELSE o.metadata END
    FROM ${tenantsOf('h')} t WHERE o.organization_id = t.organization_id AND o.organization_id = ANY ($2::text[])
    RETURNING o.organization_id, o.settings
  )
  SELECT instance.*, organization.settings FROM instance JOIN organization USING (organization_id)`;

/**
 * Writes a batch that names no orchestrator twice, in one transaction; the results come in its order. A raised
 * epoch is what makes the connection the one that counts.
 *
 * Organizations are locked by id. Behind that nobody else changes an instance of theirs, and one that was changed between
 * the first look and the lock is not written but looked at anew: whoever waited behind a newer connection of its own
 * orchestrator, with a socket that is gone by now, must not take its place.
 * @throws when Postgres cannot be asked, or races were lost too often; the batch may be written again
 */
export async function writeHandshakes(
  database: Statements,
  hellos: readonly Introduction[],
): Promise<HandshakeOutcome[]> {
  const outcomes = await database.transaction(async (query) => {
    const wanted = hellos.filter((hello) => hello.wanted());
    return wanted.length === 0 ? new Map<string, HandshakeOutcome>() : write(query, wanted);
  });
  return hellos.map((hello) => outcomes.get(hello.orchestratorId) ?? { kind: 'abandoned' });
}

async function write(query: Query, hellos: readonly Introduction[]): Promise<Map<string, HandshakeOutcome>> {
  const seen = byOrchestrator(await query(findInstances, [idsOf(hellos)]));
  const valid: Introduction[] = [];
  const outcomes = new Map<string, HandshakeOutcome>();
  for (const hello of hellos) {
    const epoch = epochIn(seen, hello);
    if (!hello.mayJoin(organizationIn(seen, hello))) outcomes.set(hello.orchestratorId, { kind: 'foreign' });
    else if (hello.epoch === undefined || hello.epoch === epoch) valid.push(hello);
    else {
      const nodeId = String(seen.get(hello.orchestratorId)?.node_id ?? 'none');
      outcomes.set(hello.orchestratorId, { kind: 'superseded', epoch, nodeId });
    }
  }
  if (valid.length === 0) return outcomes;

  const parameters = [asJson(valid, seen)];
  // One that was there in the organization that it names needs neither inserted: a storm is of those. Where it is gone
  // by the time of the lock, that is a race.
  const isThere = (hello: Introduction) => organizationIn(seen, hello) === hello.organizationId;
  const missing = valid.filter((hello) => !isThere(hello));
  const inserted = missing.length === valid.length ? parameters : [asJson(missing, seen)];
  if (missing.length > 0) await query(insertOrganizations, inserted);
  const left = valid
    .map((hello) => organizationIn(seen, hello) ?? hello.organizationId)
    .filter((organizationId, at) => organizationId !== valid[at]?.organizationId);
  const touched = new Set([...valid.map((hello) => hello.organizationId), ...left]);
  const locked = await query(lockOrganizations, [[...touched]]);
  // One that was removed, and may be there again by now, would be waited for by the update: out of turn.
  if (locked.length < touched.size) throw new LostRace('an organization was removed between two statements');
  if (missing.length > 0) await query(insertInstances, inserted);
  requireAll(valid, (hello) => hello.mayJoin(organizationIn(seen, hello)) && hello.wanted());

  const named = valid.map((hello) => hello.organizationId);
  for (const row of await query(update, [...parameters, named]))
    outcomes.set(String(row.orchestrator_id), {
      kind: 'introduced',
      epoch: Number(row.connection_epoch),
      organizationId: String(row.organization_id),
      name: String(row.name),
      location: String(row.location),
      features: row.features,
      metadata: row.metadata,
      settings: row.settings,
    });
  requireAll(valid, ({ orchestratorId }) => outcomes.has(orchestratorId));
  await settleOrganizations(query, left);
  return outcomes;
}

function requireAll(hellos: readonly Introduction[], isAsSeen: (hello: Introduction) => boolean): void {
  for (const hello of hellos)
    if (!isAsSeen(hello)) throw new LostRace(`${hello.orchestratorId} changed between two statements`);
}

function idsOf(hellos: readonly Introduction[]): string[] {
  return hellos.map((hello) => hello.orchestratorId);
}

function byOrchestrator(rows: readonly Row[]): Map<unknown, Row> {
  return new Map(rows.map((row) => [row.orchestrator_id, row]));
}

/** 0 for one that does not exist, as for one that has never been connected. */
function epochIn(rows: Map<unknown, Row>, { orchestratorId }: Introduction): number {
  return Number(rows.get(orchestratorId)?.connection_epoch ?? 0);
}

function organizationIn(rows: Map<unknown, Row>, { orchestratorId }: Introduction): string | undefined {
  const id = rows.get(orchestratorId)?.organization_id;
  return id === undefined ? undefined : String(id);
}

function asJson(hellos: readonly Introduction[], seen: Map<unknown, Row>): string {
  return JSON.stringify(
    hellos.map((hello) => ({
      orchestrator_id: hello.orchestratorId,
      organization_id: hello.organizationId,
      name: hello.name,
      location: hello.location,
      features: hello.features,
      metadata: hello.metadata,
      epoch: hello.epoch,
      node_id: hello.nodeId,
      at: isoTime(hello.at),
      seen_epoch: epochIn(seen, hello),
      seen_organization_id: organizationIn(seen, hello) ?? hello.organizationId,
    })),
  );
}
