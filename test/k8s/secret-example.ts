// Owns what an overlay says of the Secrets that are made by hand.
import { readFile } from 'node:fs/promises';

/** `Secret/controller/{key}` for each line, and `Secret/controller`. */
export async function secretsByHand(file: string): Promise<Set<string>> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  const keys = lines.flatMap((line) => /^([A-Z_]+)=/.exec(line)?.[1] ?? []);
  return new Set(['Secret/controller', ...keys.map((key) => `Secret/controller/${key}`)]);
}
