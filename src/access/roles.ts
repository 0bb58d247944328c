// Owns the roles: who may do what, in one table.

export const roles = ['viewer', 'operator', 'admin', 'orchestrator'] as const;
export type Role = (typeof roles)[number];

/**
 * Every action, and the roles that may do it. A route and an event name the action that they are. Of an `own` action an
 * orchestrator may do no more than what concerns itself.
 */
export const permissions = {
  'fleet.read': ['viewer', 'operator', 'admin'],
  'fleet.write': ['operator', 'admin'],
  administer: ['admin'],
  'own.read': ['admin', 'orchestrator'],
  'own.decide': ['admin', 'orchestrator'],
  'own.beat': ['admin', 'orchestrator'],
  connect: ['orchestrator'],
} as const satisfies Record<string, readonly Role[]>;

export type Action = keyof typeof permissions;
