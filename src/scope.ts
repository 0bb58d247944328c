// Owns which part of the fleet a caller sees: what is outside of it does not exist for that caller.

/** The organizations that a caller is confined to; undefined: the whole fleet. */
export type Scope = ReadonlySet<string> | undefined;

export const covers = (scope: Scope, organizationId: string): boolean => scope?.has(organizationId) ?? true;

/** For a statement: the organizations as an array, null for the whole fleet. */
export const asArray = (scope: Scope): string[] | null => (scope === undefined ? null : [...scope]);
