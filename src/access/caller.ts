// Owns who calls: what is known of a caller once its token is verified.
import { forbidden } from '../fleet/errors.ts';
import { covers, type Scope } from '../scope.ts';
import { type Action, permissions, type Role } from './roles.ts';

export interface Caller {
  /** The token's `sub`; `anonymous` where no token is asked for. */
  readonly subject: string;
  /** `anyone` where no token is asked for: then everything is allowed. */
  readonly role: Role | 'anyone';
  /** The organizations that it is confined to. */
  readonly scope: Scope;
  /** The orchestrators that it may be or speak for; undefined: all. */
  readonly orchestrators: ReadonlySet<string> | undefined;
  /** When its token ends, milliseconds since the epoch; undefined: never. */
  readonly expiresAtMs: number | undefined;
}

/** Whoever calls a controller that asks for no token. */
export const anyone: Caller = {
  subject: 'anonymous',
  role: 'anyone',
  scope: undefined,
  orchestrators: undefined,
  expiresAtMs: undefined,
};

/** What limits count a caller by: its role as well, since others may be called the same. */
export const limitKeyOf = ({ role, subject }: Caller): string => `${role} ${subject}`;

export function may(caller: Caller, action: Action): boolean {
  const allowed: readonly string[] = permissions[action];
  return caller.role === 'anyone' || allowed.includes(caller.role);
}

/** @throws forbidden when the caller may neither be nor speak for this orchestrator */
export function requireSelf(caller: Caller, orchestratorId: string): void {
  if (caller.orchestrators?.has(orchestratorId) === false)
    throw forbidden(`The token is not one of orchestrator ${orchestratorId}`);
}

/** @throws forbidden when the caller is confined to other organizations than this */
export function requireOrganization(caller: Caller, organizationId: string): void {
  if (!covers(caller.scope, organizationId))
    throw forbidden(`The token is not one of organization ${organizationId}`);
}
