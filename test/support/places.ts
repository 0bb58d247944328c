// Owns what the tests of authorization call at: an organization with an orchestrator and a message, and all rows at once.
import type { TestOrchestrator } from './orchestrator.ts';
import { tokenOf } from './tokens.ts';
import type { Place, TestKeys } from './visitors.ts';
import type { Replica, World } from './world.ts';

/** A place whose every id begins with, or has in it, this name. */
export async function makePlace(world: World, name: string): Promise<Place> {
  const [organization, orchestrator, message] = [`${name}-org`, `${name}-id`, `msg_${name}-id`];
  await world.sql(`INSERT INTO organizations (organization_id, name) VALUES ($1, 'Some')`, [organization]);
  await world.sql(
    `INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name) VALUES ($1, $2, 'Some')`,
    [orchestrator, organization],
  );
  await world.sql(
    `INSERT INTO orchestrator_messages (id, orchestrator_id, message_type, content)
     VALUES ($1, $2, 'recommendation', 'Rest')`,
    [message, orchestrator],
  );
  return { organization, orchestrator, message, newcomer: `${name}-new` };
}

/** All rows of all tables, as one value. */
export async function digestOf(world: World): Promise<unknown> {
  const [found] = await world.sql(`SELECT md5(concat(
    (SELECT string_agg(o::text, ',' ORDER BY organization_id) FROM organizations o),
    (SELECT string_agg(i::text, ',' ORDER BY orchestrator_id) FROM orchestrator_instances i),
    (SELECT string_agg(m::text, ',' ORDER BY id) FROM orchestrator_messages m))) AS digest`);
  return found?.digest;
}

/** The place's orchestrator, connected with a token of its own. */
export async function connectAs(
  keys: TestKeys,
  replica: Replica,
  { orchestrator: id, organization }: Pick<Place, 'orchestrator' | 'organization'>,
): Promise<TestOrchestrator> {
  const token = await tokenOf(keys.signing, 'orchestrator', { subject: id, organizations: [organization] });
  const orchestrator = await replica.open({ token });
  await orchestrator.handshake(id, { organization_id: organization });
  await orchestrator.event('provision_config');
  return orchestrator;
}
