// Owns the reading of a URL of Postgres: what of it the driver must be told beside host, user and database.
import { isIP } from 'node:net';
import { type ConnectionOptions, parse } from 'pg-connection-string';
import { reasonOf } from '../availability.ts';

/**
 * TLS and the like, by the parameters that libpq and pg know: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`,
 * `sslnegotiation`, `options`, `application_name`. MikroORM by itself reads none of them.
 *
 * Each `sslmode` but `disable` and `no-verify` verifies who certified the server and that its name is the URL's, as pg
 * has it today; `uselibpqcompat=true` asks for libpq's own, weaker meanings.
 * @throws with a message for a person when a file that it names cannot be read
 */
export function connectionParameters(url: string, variable: string): Partial<ConnectionOptions> {
  const parameters = parametersOf(url, variable);
  const { ssl, sslnegotiation, options, application_name } = parameters;
  return Object.fromEntries(
    Object.entries({ ssl: named(ssl, url), sslnegotiation, options, application_name }).filter(
      ([, value]) => value !== undefined,
    ),
  );
}

function parametersOf(url: string, variable: string): ConnectionOptions {
  try {
    return parse(pinned(url));
  } catch (error) {
    throw new Error(`${variable} cannot be used: ${reasonOf(error)}`);
  }
}

/** The next pg is to give the middle modes libpq's meaning: what is verified must not depend on its version. */
function pinned(text: string): string {
  const url = new URL(text);
  const mode = url.searchParams.get('sslmode') ?? '';
  const isStrict = url.searchParams.get('uselibpqcompat') !== 'true';
  if (!isStrict || !['prefer', 'require', 'verify-ca'].includes(mode)) return text;
  url.searchParams.set('sslmode', 'verify-full');
  return url.href;
}

/** For an address in place of a name pg would have the certificate checked for `localhost`. */
function named(ssl: ConnectionOptions['ssl'], text: string): ConnectionOptions['ssl'] | object {
  const host = new URL(text).hostname.replace(/^\[(.+)\]$/, '$1');
  return typeof ssl === 'object' && isIP(host) !== 0 ? { ...ssl, host } : ssl;
}
