// Owns the migrated database that every test world is a copy of.
import { MikroORM } from '@mikro-orm/postgresql';
import { migrate } from '../../src/database/migrate.ts';

export const templateName = 'moolai_template';

export async function createTemplate(baseUrl: string): Promise<void> {
  const orm = await MikroORM.init({
    clientUrl: baseUrl,
    entities: [],
    discovery: { warnWhenNoEntities: false },
  });
  await orm.driver.execute(`CREATE DATABASE ${templateName}`);
  await orm.close(true);
  const url = new URL(baseUrl);
  url.pathname = `/${templateName}`;
  await migrate(url.href);
}
