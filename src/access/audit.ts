// Owns the audit: who changed what, on whom, and with what outcome.
import type { ErrorCode } from '../fleet/errors.ts';
import type { Log } from '../log.ts';
import type { Caller } from './caller.ts';

/** Every change that a caller can make, but for heartbeats. */
export const auditedActions = [
  'organization.create',
  'instance.create',
  'instance.delete',
  'orchestrator.register',
  'orchestrator.deregister',
  'independence.set',
  'message.create',
  'message.decide',
  'message.send',
] as const;
export type AuditedAction = (typeof auditedActions)[number];

/** On whom; what is not known, as of a call that could not be read, is absent. */
export interface Subject {
  organization_id?: string | undefined;
  orchestrator_id?: string | undefined;
  message_id?: string | undefined;
  /** What it is to be, where there is a choice: `independent` or `managed`, a decision, a type. */
  change?: string | undefined;
}

export interface AuditEntry {
  caller: Caller;
  action: AuditedAction;
  on: Subject;
  /** Method and path. */
  call: string;
  /** `done`, or the code of the error that was answered. */
  outcome: string;
  requestId: string;
  /** Undefined where the call is not traced. */
  traceId: string | undefined;
}

export type Audit = (entry: AuditEntry) => void;

/** Refusals that somebody should look at; a slip in a payload is none. */
const alarming: readonly string[] = ['forbidden', 'unavailable', 'internal_error'] satisfies (
  | ErrorCode
  | 'internal_error'
)[];

/** @param dependencies.log one that keeps every line from INFO on, whatever the level of the others */
export function createAudit({ log }: { log: Log }): Audit {
  return ({ caller, action, on, call, outcome, requestId, traceId }) => {
    const { subject: sub, role } = caller;
    const { organization_id, orchestrator_id, message_id, change } = on;
    const whom = message_id ?? orchestrator_id ?? organization_id ?? `(${call})`;
    const line = {
      event: 'audit',
      source: 'audit',
      organization_id,
      orchestrator_id,
      trace_id: traceId,
      audit: { sub, role, action, change, call, organization_id, message_id, outcome, request_id: requestId },
    };
    const text = `${role} ${sub}: ${action} ${whom}${change === undefined ? '' : ` (${change})`}: ${outcome} (request ${requestId})`;
    if (alarming.includes(outcome)) log.warn(line, text);
    else log.info(line, text);
  };
}
