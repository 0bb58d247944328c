// Owns the record of every heartbeat that was committed, kept by Postgres itself in the transaction that committed it:
// the row alone would not show that one was lost, as the next one covers it.
import type { Cluster } from '../support/cluster.ts';

const recording = `
  CREATE TABLE committed_beats (orchestrator_id text NOT NULL, ms bigint NOT NULL);
  CREATE FUNCTION record_beat() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO committed_beats
      VALUES (NEW.orchestrator_id, round(extract(epoch FROM NEW.last_seen) * 1000));
      RETURN NULL;
    END
  $$;
  CREATE TRIGGER record_beat AFTER INSERT OR UPDATE OF last_seen ON orchestrator_instances
    FOR EACH ROW WHEN (NEW.last_seen IS NOT NULL) EXECUTE FUNCTION record_beat()`;

export async function recordBeats({ sql }: Cluster): Promise<void> {
  await sql(recording);
}

/** Each acknowledged heartbeat that is not in the record, or that its row has forgotten. */
export async function findLostBeats(
  { sql }: Cluster,
  acknowledged: ReadonlyMap<string, ReadonlySet<number>>,
): Promise<string[]> {
  // As they are now: more are acknowledged while the record is read.
  const known = [...acknowledged].map(([id, times]) => [id, [...times]] as const);
  const committed = new Set<string>();
  for (const row of await sql('SELECT DISTINCT orchestrator_id, ms FROM committed_beats'))
    committed.add(`${row.orchestrator_id} ${row.ms}`);
  const rows = await sql(
    'SELECT orchestrator_id, extract(epoch FROM last_seen)::float8 * 1000 AS ms FROM orchestrator_instances',
  );
  const lastSeen = new Map(rows.map((row) => [row.orchestrator_id, Math.round(Number(row.ms))]));
  const lost: string[] = [];
  for (const [id, times] of known)
    for (const ms of times) {
      const name = `${id}, acknowledged with ${new Date(ms).toISOString()}`;
      if (!committed.has(`${id} ${ms}`)) lost.push(`${name}, was never committed`);
      else if (!((lastSeen.get(id) ?? 0) >= ms)) lost.push(`${name}, is newer than its row`);
    }
  return lost;
}
