// Owns the question whether a database has the schema that this build is written for.
import { isMissingTable } from './failures.ts';
import { migrationNames } from './migrations/names.ts';
import type { Query } from './pool.ts';

/**
 * The migrations that this build knows and the database does not have, in their order. One that only the database
 * knows is of a newer build, whose schema suits this one as well: the steps of an upgrade are made that way.
 * @throws when Postgres cannot be asked
 */
export async function missingMigrations(query: Query): Promise<string[]> {
  const applied = new Set(await appliedMigrations(query));
  return migrationNames.filter((name) => !applied.has(name));
}

async function appliedMigrations(query: Query): Promise<string[]> {
  try {
    return (await query('SELECT name FROM schema_migrations')).map((row) => String(row.name));
  } catch (error) {
    if (isMissingTable(error)) return [];
    throw error;
  }
}

/** What is wrong, for a person. */
export function describeMissing(missing: readonly string[]): string {
  const isEmpty = missing.length === migrationNames.length;
  return isEmpty ? 'has no tables yet' : `lacks what this build needs: ${missing.join(', ')}`;
}
