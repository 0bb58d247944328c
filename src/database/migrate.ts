// Owns the schema's step from one version to the next.
import { setTimeout as pause } from 'node:timers/promises';
import { type Migration, Migrator } from '@mikro-orm/migrations';
import { MikroORM } from '@mikro-orm/postgresql';
import { connectionParameters } from './address.ts';
import { Tables } from './migrations/2026-11-23-tables.ts';
import { MessageCounts } from './migrations/2026-11-24-message-counts.ts';
import { type MigrationName, migrationNames } from './migrations/names.ts';
import { OrchestratorInstance } from './orchestrator-instances.ts';
import { OrchestratorMessage } from './orchestrator-messages.ts';
import { Organization } from './organizations.ts';

type Constructor = new (...parameters: ConstructorParameters<typeof Migration>) => Migration;

const migrations: Record<MigrationName, Constructor> = {
  '2026-11-23-tables': Tables,
  '2026-11-24-message-counts': MessageCounts,
};

/** How often one that waits for another migration to end looks again. */
const lookEveryMs = 200;

/**
 * Brings the database to the newest schema, in one transaction: all of it or nothing. A lock that lasts as long as
 * that transaction keeps two processes from migrating at once, also behind a pooler that hands out sessions by the
 * transaction. It takes two connections, one while it waits.
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
    driverOptions: {
      application_name: 'moolai-controller-migrate',
      ...connectionParameters(databaseUrl, 'DATABASE_URL'),
      connectionTimeoutMillis: 10_000,
    },
    migrations: {
      tableName: 'schema_migrations',
      migrationsList: migrationNames.map((name) => ({ name, class: migrations[name] })),
      snapshot: false,
      silent: true,
      transactional: true,
      allOrNothing: true,
    },
  });
  const connection = orm.driver.getConnection();

  /** Undefined while another process migrates. A lock that is waited for would hold on to a connection of the pooler's. */
  function tryOnce(): Promise<string[] | undefined> {
    return connection.transactional(async (transaction) => {
      const run = (sql: string) => connection.execute<{ locked: boolean }[]>(sql, [], 'all', transaction);
      const [lock] = await run(
        "SELECT pg_try_advisory_xact_lock(hashtext('moolai-controller migrate')) AS locked",
      );
      if (lock?.locked !== true) return undefined;
      // What the role or the database allows a call is too little for a large table.
      await run('SET LOCAL statement_timeout = 0');
      await run('SET LOCAL idle_in_transaction_session_timeout = 0');
      return (await orm.migrator.up({ transaction })).map((migration) => migration.name);
    });
  }

  try {
    for (;;) {
      const applied = await tryOnce();
      if (applied !== undefined) return applied;
      await pause(lookEveryMs);
    }
  } finally {
    await orm.close(true);
  }
}
