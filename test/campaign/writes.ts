// Owns counting every row that is written to the three tables, whoever writes it.
import type { World } from '../support/world.ts';

const tables = ['organizations', 'orchestrator_instances', 'orchestrator_messages'] as const;

export interface Writes {
  /** Rows inserted, updated and deleted by transactions that are committed; asked only where it may have changed. */
  count(): Promise<number>;
  /** A call was accepted: it may have written. */
  forget(): void;
  /** @throws when anything was written since the last `count` */
  requireNone(): Promise<void>;
  /** Begins anew. */
  reset(): Promise<void>;
}

/** A row for each row: a sequence would count what is rolled back as well. */
export async function countWrites(world: World): Promise<Writes> {
  await world.sql('CREATE UNLOGGED TABLE campaign_writes (written text)');
  await world.sql(`
    CREATE FUNCTION campaign_note() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO campaign_writes VALUES (TG_OP || '' '' || TG_TABLE_NAME); RETURN NULL; END'`);
  for (const table of tables)
    await world.sql(`
      CREATE TRIGGER campaign_note AFTER INSERT OR UPDATE OR DELETE ON ${table}
      FOR EACH ROW EXECUTE FUNCTION campaign_note()`);
  let known: number | undefined;

  async function ask(): Promise<number> {
    const [row] = await world.sql('SELECT count(*)::int AS count FROM campaign_writes');
    return Number(row?.count);
  }

  return {
    count: async () => (known ??= await ask()),
    forget() {
      known = undefined;
    },
    async requireNone() {
      const before = known;
      known = await ask();
      if (before !== undefined && known !== before)
        throw new Error(`a refused call has written ${known - before} rows`);
    },
    async reset() {
      await world.sql('TRUNCATE campaign_writes');
      known = undefined;
    },
  };
}
