// Owns what statements that list rows have in common: parameters that are numbered as they are needed, a page and the
// count of all in one answer, and what becomes of columns.

/** The values of a statement, in the order in which it names them. */
export interface Parameters {
  readonly values: readonly unknown[];
  /** Takes a value and returns what stands for it. */
  add(value: unknown): string;
}

export function createParameters(): Parameters {
  const values: unknown[] = [];
  return { values, add: (value) => `$${values.push(value)}` };
}

export const whereOf = (conditions: readonly string[]): string =>
  conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;

/** In a statement: milliseconds since the epoch, for `dateOf`. A time as text would depend on the session's settings. */
export const epochOf = (column: string): string => `date_part('epoch', ${column}) * 1000`;

export const dateOf = (epochMs: unknown): Date => new Date(Math.round(Number(epochMs)));
export const dateOrNull = (epochMs: unknown): Date | null => (epochMs === null ? null : dateOf(epochMs));
export const textOrNull = (value: unknown): string | null => (value === null ? null : String(value));

/** One of these words, as a CHECK of the table promises. @throws TypeError for another */
export function wordOf<const Word extends string>(words: readonly Word[], value: unknown): Word {
  const found = words.find((word) => word === value);
  if (found === undefined) throw new TypeError(`${String(value)} is none of ${words.join(', ')}`);
  return found;
}
