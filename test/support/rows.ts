// Owns reading, in tests, what Postgres says of one orchestrator.
import type { World } from './world.ts';

export type Row = Record<string, unknown>;

export interface Rows {
  instance: Row | undefined;
  organization: Row | undefined;
}

/** Both rows, whole; the organization is the instance's own unless it is named. */
export async function rowsOf(world: World, orchestratorId: string, organizationId?: string): Promise<Rows> {
  const [instance] = await world.sql('SELECT * FROM orchestrator_instances WHERE orchestrator_id = $1', [
    orchestratorId,
  ]);
  const [organization] = await world.sql('SELECT * FROM organizations WHERE organization_id = $1', [
    organizationId ?? instance?.organization_id ?? orchestratorId,
  ]);
  // A bigint, which the driver hands over as text.
  if (instance !== undefined) instance.connection_epoch = Number(instance.connection_epoch);
  return { instance, organization };
}

/** A column with a time, in ms since the epoch. */
export function timeOf(row: Row | undefined, column: string): number {
  return Date.parse(String(row?.[column]));
}
