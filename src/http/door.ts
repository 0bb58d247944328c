// Owns the door of the REST side: who calls, whether that caller may, and the audit of what it changed.
import type { Audit } from '../access/audit.ts';
import { anyone, may } from '../access/caller.ts';
import { permissions } from '../access/roles.ts';
import type { Tokens } from '../access/tokens.ts';
import { asFleetError, forbidden } from '../fleet/errors.ts';
import { HttpError } from './errors.ts';
import { requestIdOf, setCaller, subjectOf, tokenOf } from './requests.ts';
import type { Door } from './route.ts';

/** @param dependencies.limitCaller counts a call of a token's `sub`. @throws rate_limited when it has too many */
export function createDoor(dependencies: {
  tokens: Tokens;
  audit: Audit;
  limitCaller(subject: string): Promise<void>;
}): Door {
  const { tokens, audit, limitCaller } = dependencies;
  return (route) => async (ctx, next) => {
    const { access } = route;
    if (access === 'public') {
      setCaller(ctx, anyone);
      return next();
    }
    const caller = await tokens.identify(tokenOf(ctx));
    setCaller(ctx, caller);
    if (caller.role !== 'anyone') await limitCaller(caller.subject);
    const tell = (outcome: string) => {
      if (route.audit !== undefined)
        audit({
          caller,
          action: route.audit,
          on: subjectOf(ctx),
          call: `${ctx.method} ${ctx.path.slice(0, 1_024)}`,
          outcome,
          requestId: requestIdOf(ctx),
        });
    };
    try {
      if (!may(caller, access))
        throw forbidden(
          `This needs the role ${permissions[access].join(' or ')}; the token has ${caller.role}`,
        );
      await next();
      tell('done');
    } catch (error) {
      tell(error instanceof HttpError ? error.code : (asFleetError(error)?.code ?? 'internal_error'));
      throw error;
    }
  };
}
