// Owns the environment files: copies of the independence flags, for what reads files and not the API.
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createBatcher } from '../batcher.ts';
import type { Database } from '../database/database.ts';
import { type Independence, readIndependence } from '../database/statements/independence.ts';

export const environmentFileName = 'orchestrator_independence.env';
export const jsonFileName = 'orchestrator_independence.json';

export interface EnvironmentFiles {
  /**
   * Writes both files anew from Postgres, each by renaming a finished one into its place. Calls that come while a
   * write is under way share the next one.
   * @throws when Postgres or the folder cannot be used; Postgres stays the truth
   */
  write(): Promise<void>;
}

export function createEnvironmentFiles(dependencies: {
  database: Database;
  folder: string;
  nodeId: string;
}): EnvironmentFiles {
  const folder = resolve(dependencies.folder);
  const writes = createBatcher<undefined, undefined>({
    async flush() {
      const flags = await readIndependence(dependencies.database);
      await mkdir(folder, { recursive: true });
      await replace(environmentFileName, asEnvironment(flags));
      await replace(jsonFileName, asJson(flags));
      return [undefined];
    },
    merge: () => undefined,
    onFailure: () => 'refuse',
  });

  async function replace(name: string, content: string): Promise<void> {
    const draft = join(folder, `.${name}.${dependencies.nodeId}`);
    await writeFile(draft, content);
    await rename(draft, join(folder, name));
  }

  return { write: () => writes.add('files', undefined) };
}

/** `ORCHESTRATOR_{ID}_INDEPENDENT`: the id in upper case, what is not a letter or digit as `_`. */
export function variableName(orchestratorId: string): string {
  return `ORCHESTRATOR_${orchestratorId.toUpperCase().replace(/[^A-Z0-9]/g, '_')}_INDEPENDENT`;
}

/** Ids that differ only in case or punctuation share a variable; where they disagree it is left out, and said. */
function asEnvironment(flags: readonly Independence[]): string {
  const lines = [...Map.groupBy(flags, (flag) => variableName(flag.orchestratorId))].map(
    ([name, sharing]) => {
      const [first, ...others] = sharing.map((flag) => flag.isIndependent);
      if (others.every((value) => value === first)) return `${name}=${first}\n`;
      const ids = sharing.map((flag) => flag.orchestratorId).join(', ');
      return `# ${name} would stand for ${ids}, which differ: see ${jsonFileName}\n`;
    },
  );
  return lines.join('');
}

function asJson(flags: readonly Independence[]): string {
  const byId = flags.map((flag) => [
    flag.orchestratorId,
    { is_independent: flag.isIndependent, privacy_mode: flag.privacyMode },
  ]);
  return `${JSON.stringify(Object.fromEntries(byId), null, 2)}\n`;
}
