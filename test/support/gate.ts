// Owns a gate before the writing of one row: whoever has locked and read it already waits there.
import type { Held, World } from './world.ts';

let gates = 0;

/** Keeps updates of one instance from being carried out until the gate is released. */
export async function holdUpdatesOf(world: World, orchestratorId: string): Promise<Held> {
  gates += 1;
  const name = `gate_${gates}`;
  await world.sql(`
    CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock(${gates}); RETURN NEW; END $$`);
  await world.sql(`
    CREATE TRIGGER ${name} BEFORE UPDATE ON orchestrator_instances FOR EACH ROW
    WHEN (NEW.orchestrator_id = '${orchestratorId}') EXECUTE FUNCTION ${name}()`);
  return world.hold('SELECT pg_advisory_xact_lock($1)', [gates]);
}
