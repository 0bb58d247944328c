// Owns the schema's step from one version to the next.
import { Migrator } from '@mikro-orm/migrations';
import { MikroORM } from '@mikro-orm/postgresql';
import { Tables } from './migrations/2026-11-23-tables.ts';
import { OrchestratorInstance } from './orchestrator-instances.ts';
import { OrchestratorMessage } from './orchestrator-messages.ts';
import { Organization } from './organizations.ts';

/**
 * Brings the database to the newest schema, each migration in a transaction of its own. An advisory lock keeps
 * two processes from migrating at once.
 * @returns the names of the migrations applied now, none when it was up to date
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  const orm = await MikroORM.init({
    clientUrl: databaseUrl,
    entities: [Organization, OrchestratorInstance, OrchestratorMessage],
    extensions: [Migrator],
    // A name with a slip in it must not become a new, empty database.
    ensureDatabase: false,
    pool: { min: 0, max: 2 },
    driverOptions: { application_name: 'moolai-controller-migrate', connectionTimeoutMillis: 10_000 },
    migrations: {
      tableName: 'schema_migrations',
      migrationsList: [{ name: '2026-11-23-tables', class: Tables }],
      snapshot: false,
      silent: true,
      transactional: true,
      allOrNothing: false,
    },
  });
  const pool = await orm.driver.getConnection().getNativeClient();
  const lock = await pool.connect();
  try {
    await lock.query("SELECT pg_advisory_lock(hashtext('moolai-controller migrate'))");
    const applied = await orm.migrator.up();
    return applied.map((migration) => migration.name);
  } finally {
    // Ending the session gives the lock back whatever happened.
    lock.release(true);
    await orm.close(true);
  }
}
