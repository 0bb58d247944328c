// Owns REDIS_URL: the forms it may have, by its scheme, and what each says.

export interface RedisNode {
  readonly host: string;
  readonly port: number;
}

interface Login {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** Where Redis is: one server; the sentinels that know who is master; or some nodes of a cluster, which know the others. */
export type RedisAddress = Login & {
  readonly tls: boolean;
  readonly nodes: readonly [RedisNode, ...RedisNode[]];
} & (
    | { readonly kind: 'server'; readonly db: number }
    | { readonly kind: 'sentinel'; readonly db: number; readonly master: string; readonly sentinels: Login }
    | { readonly kind: 'cluster' }
  );

/** A URL that names no Redis; its message says why, and quotes nothing that may be secret. */
export class RedisUrlFault extends Error {
  override readonly name = 'RedisUrlFault';
}

const form =
  /^(redis|rediss)(-sentinel|-cluster)?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const example = {
  server: 'redis://host:6379',
  sentinel: 'redis-sentinel://host:26379,host:26379/mymaster',
  cluster: 'redis-cluster://host:6379,host:6379',
};

/**
 * Reads one of
 * - `redis://[[user]:password@]host[:6379][/db]`
 * - `redis-sentinel://[[user]:password@]host[:26379][,…]/master[?db=0&sentinel_username=…&sentinel_password=…]`
 * - `redis-cluster://[[user]:password@]host[:6379][,…]`
 *
 * and the same with TLS: `rediss://`, `rediss-sentinel://`, `rediss-cluster://`. The user and the password are those of
 * the servers that hold data. The master's name is the path, and not the fragment as some have it: a `#` begins a
 * comment in a file of variables.
 * @throws RedisUrlFault
 */
export function parseRedisUrl(url: string): RedisAddress {
  const found = form.exec(url);
  if (found === null)
    throw new RedisUrlFault(
      `must be a URL such as ${example.server}, ${example.sentinel} or ${example.cluster}, each with TLS as rediss…; ` +
        'what of / ? # @ is in a user or a password is to be escaped',
    );
  const [, scheme, suffix, userInformation, hosts = '', path = '', query = ''] = found;
  const kind = suffix === '-sentinel' ? 'sentinel' : suffix === '-cluster' ? 'cluster' : 'server';
  const at = {
    tls: scheme === 'rediss',
    nodes: nodesIn(hosts, kind === 'sentinel' ? 26_379 : 6_379, kind),
    ...loginIn(userInformation),
  };
  const asked = parametersIn(query, kind);
  switch (kind) {
    case 'server':
      return { kind, ...at, db: databaseIn(path) };
    case 'cluster':
      if (path !== '' && databaseIn(path) !== 0)
        throw new RedisUrlFault('must name no database: a Redis Cluster has but one');
      return { kind, ...at };
    case 'sentinel': {
      const master = decode(path);
      if (master === '' || master.includes('/'))
        throw new RedisUrlFault(`must end in the name of the master, as in ${example.sentinel}`);
      const sentinels = {
        username: asked.get('sentinel_username'),
        password: asked.get('sentinel_password'),
      };
      return { kind, ...at, db: databaseIn(asked.get('db') ?? ''), master, sentinels };
    }
  }
}

function nodesIn(hosts: string, usualPort: number, kind: RedisAddress['kind']): [RedisNode, ...RedisNode[]] {
  const [first, ...others] = hosts.split(',').map((host) => nodeIn(host, usualPort));
  if (first === undefined) throw new RedisUrlFault('must name a host');
  if (kind === 'server' && others.length > 0)
    throw new RedisUrlFault(
      'must name one host only, unless it begins with redis-sentinel:// or redis-cluster://',
    );
  return [first, ...others];
}

function nodeIn(text: string, usualPort: number): RedisNode {
  const [, ipv6, name, digits] = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = ipv6 ?? name;
  const port = digits === undefined ? usualPort : Number(digits);
  if (host === undefined || port < 1 || port > 65_535)
    throw new RedisUrlFault(
      'must name each host as host, host:port or [IPv6 address]:port, with commas between',
    );
  return { host, port };
}

function loginIn(userInformation: string | undefined): Login {
  if (userInformation === undefined || userInformation === '') return {};
  const colon = userInformation.indexOf(':');
  if (colon < 0)
    throw new RedisUrlFault(
      'has a user without a password: write user:password@, or :password@ for the default user',
    );
  const username = decode(userInformation.slice(0, colon));
  const password = decode(userInformation.slice(colon + 1));
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) };
}

const known = { server: [], cluster: [], sentinel: ['db', 'sentinel_username', 'sentinel_password'] };

function parametersIn(query: string, kind: RedisAddress['kind']): Map<string, string> {
  // By hand: URLSearchParams takes the + of a password for a space.
  const pairs = query.split('&').filter((pair) => pair !== '');
  const parameters = new Map<string, string>();
  for (const pair of pairs) {
    const [name = '', ...value] = pair.split('=');
    const names: readonly string[] = known[kind];
    if (!names.includes(name))
      throw new RedisUrlFault(
        names.length === 0
          ? 'must have no parameters behind a question mark'
          : `may have these parameters and no others: ${names.join(', ')}`,
      );
    parameters.set(name, decode(value.join('=')));
  }
  return parameters;
}

function databaseIn(text: string): number {
  if (text === '') return 0;
  if (!/^\d{1,5}$/.test(text)) throw new RedisUrlFault('must give the database as a whole number');
  return Number(text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RedisUrlFault('has a % that escapes nothing: write %25 for it');
  }
}
