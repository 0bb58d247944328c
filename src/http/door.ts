// Owns the door of the REST side: who calls, whether that caller may, and the audit of what it changed.
import type { Context } from 'koa';
import type { Audit } from '../access/audit.ts';
import { anyone, type Caller, limitKeyOf, may } from '../access/caller.ts';
import { permissions } from '../access/roles.ts';
import type { Tokens } from '../access/tokens.ts';
import { reasonOf } from '../availability.ts';
import { asFleetError, forbidden } from '../fleet/errors.ts';
import type { Log } from '../log.ts';
import { createPacedWarning } from '../paced-warning.ts';
import type { AddressOf } from './address.ts';
import { HttpError } from './errors.ts';
import { admission } from './limits.ts';
import { requestIdOf, setCaller, subjectOf, tokenOf } from './requests.ts';
import type { Door } from './route.ts';
import { stepOf } from './trace.ts';

/** @param dependencies.limitCaller counts a call by `limitKeyOf`. @throws rate_limited when it has too many */
export function createDoor(dependencies: {
  tokens: Tokens;
  audit: Audit;
  limitCaller(caller: string): Promise<void>;
  addressOf: AddressOf;
  log: Log;
}): Door {
  const { tokens, audit, limitCaller, addressOf, log } = dependencies;
  const warnOfStranger = createPacedWarning({ log, event: 'unauthorized' });
  const warnOfForbidden = createPacedWarning({ log, event: 'forbidden' });
  const callOf = (ctx: Context) => `${ctx.method} ${ctx.path.slice(0, 200)}`;

  async function identify(ctx: Context): Promise<Caller> {
    try {
      return await tokens.identify(tokenOf(ctx));
    } catch (error) {
      const known = asFleetError(error);
      if (known?.code === 'unauthorized')
        warnOfStranger(
          { source: 'http', address: addressOf(ctx.req) },
          `${callOf(ctx)} refused: ${known.message}`,
          known.message,
        );
      throw error;
    }
  }

  return (route) => async (ctx, next) => {
    const { access } = route;
    if (access === 'public') {
      setCaller(ctx, anyone);
      await admission(ctx);
      return next();
    }
    const caller = await identify(ctx);
    setCaller(ctx, caller);
    await Promise.all([
      admission(ctx),
      caller.role === 'anyone' ? undefined : limitCaller(limitKeyOf(caller)),
    ]);
    const tell = (outcome: string, error?: unknown) => {
      if (route.audit === undefined) {
        if (outcome === 'forbidden')
          warnOfForbidden(
            { source: 'http', sub: caller.subject },
            `${callOf(ctx)} of ${caller.role} ${caller.subject} refused: ${reasonOf(error)}`,
            limitKeyOf(caller),
          );
      } else
        audit({
          caller,
          action: route.audit,
          on: subjectOf(ctx),
          call: callOf(ctx),
          outcome,
          requestId: requestIdOf(ctx),
          traceId: stepOf(ctx).traceId,
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
      tell(error instanceof HttpError ? error.code : (asFleetError(error)?.code ?? 'internal_error'), error);
      throw error;
    }
  };
}
