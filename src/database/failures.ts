// Owns the reading of Postgres's failures: which pass by themselves, and which say something about the data.
import { DriverException } from '@mikro-orm/core';

// Source: https://www.postgresql.org/docs/18/errcodes-appendix.html
const passing = /^(08|53|57P0|58|40001|40P01|55P03|57014|25P0|25006)/;
const connectionFailures = /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ERR_SOCKET)/;
// Source: https://nodejs.org/docs/latest/api/tls.html#x509-certificate-error-codes
const tlsFailures = /^(ERR_TLS_|ERR_SSL_|CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_)/;
// What the `pg` package throws without a code when a connection is lost or cannot be had.
const lostConnection =
  /connection terminated|timeout (exceeded|expired)|query read timeout|not queryable|after calling end/i;

/** What `pg` throws when TLS is asked for. */
const withoutTls = /server does not support SSL connections/i;

/** What a person must know of; the others pass in a moment: lost races, statements that took too long. */
const busy = /^(40001|40P01|55P03|57014)/;

/** Every failure of Postgres's, and none of another store's, is one of these two. */
function isOfPostgres(error: unknown): error is DriverException | LostRace {
  return error instanceof DriverException || error instanceof LostRace;
}

function codeOf(error: Error): string | undefined {
  const code: unknown = Reflect.get(error, 'code');
  return typeof code === 'string' ? code : undefined;
}

/** Whether Postgres could not be asked, or asked to be asked again: the same call may succeed later. */
export function isPassingFailure(error: unknown): boolean {
  if (!isOfPostgres(error)) return false;
  const code = codeOf(error);
  if (code !== undefined)
    return passing.test(code) || connectionFailures.test(code) || tlsFailures.test(code);
  return lostConnection.test(error.message) || withoutTls.test(error.message);
}

/** Whether Postgres is there, and this very statement only came at the wrong moment or took too long. */
function isBusy(error: unknown): boolean {
  return isOfPostgres(error) && busy.test(codeOf(error) ?? '');
}

/** Whether Postgres could not be reached, did not answer, or takes nobody. */
export function isPostgresAway(error: unknown): boolean {
  return isPassingFailure(error) && !isBusy(error);
}

/**
 * What a person must do, where a connection is refused for what the settings say: calls may be tried again, as whoever
 * runs Postgres may mend it, but a process that starts so is told at once. Undefined for any other failure, and only
 * to be asked about one to connect to Postgres.
 */
export function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = codeOf(error) ?? '';
  if (/unsupported startup parameter/i.test(error.message))
    return 'a pooler is in between; say so with DATABASE_POOLER=transaction';
  if (withoutTls.test(error.message)) return 'sslmode asks for TLS';
  if (/ALTNAME/.test(code)) return "the host in the URL must be one of its certificate's names";
  if (/EXPIRED|NOT_YET_VALID/.test(code)) return 'its certificate does not count at this time';
  if (/^ERR_/.test(code) && tlsFailures.test(code)) return 'TLS with it could not be agreed on';
  if (tlsFailures.test(code))
    return 'its certificate is of no authority that sslrootcert or NODE_EXTRA_CA_CERTS names';
  return undefined;
}

/**
 * Whether a Postgres that answers takes none of our statements: it refuses us (28), has no such database (3D), or not our
 * tables, or not for us (42).
 */
export function isUnsuitable(error: unknown): boolean {
  return isOfPostgres(error) && /^(28|3D|42)/.test(codeOf(error) ?? '');
}

/** Whether no answer came in time; the statement may have run, or run still. */
export function isReadTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout';
}

/** Whether it took too long: cancelled by Postgres, or not answered in time. Less at once may do. */
function tookTooLong(error: unknown): boolean {
  return isReadTimeout(error) || (isOfPostgres(error) && codeOf(error) === '57014');
}

/** What a failed batch of statements means for the batch. */
export function verdictOn(error: unknown): 'retry' | 'shrink' | 'divide' {
  if (!isPassingFailure(error)) return 'divide';
  return tookTooLong(error) ? 'shrink' : 'retry';
}

/** What a transaction throws that finds a row changed which it has not locked: it is run again. */
export class LostRace extends Error {
  override readonly name = 'LostRace';
  /** SQLSTATE of a serialization failure. */
  readonly code = '40001';
}

/** Whether a transaction lost to another one, and may win when it is run again. */
export function isRace(error: unknown): boolean {
  return isOfPostgres(error) && ['40001', '40P01', '23503'].includes(codeOf(error) ?? '');
}

/** Whether a row with this key is there already. */
export function isDuplicate(error: unknown): boolean {
  return isOfPostgres(error) && codeOf(error) === '23505';
}

export function isMissingTable(error: unknown): boolean {
  return isOfPostgres(error) && codeOf(error) === '42P01';
}

/** Whether the row that a foreign key names is not there. */
export function isMissingReference(error: unknown): boolean {
  return isOfPostgres(error) && codeOf(error) === '23503';
}
