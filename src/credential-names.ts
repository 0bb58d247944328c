// Owns which names stand for a credential: keys of JSON, headers, environment variables, parameters of a query.

/**
 * What a name says of its value. `whole`: it is one, whatever its type; `within`: the name says more about it, so that
 * a number is a figure (`password_min_length`); `texts`: any text in it is one, while numbers are settings (`token`);
 * `containers`: an object or array of it holds some, while a text is a setting (`env`).
 */
export type Suspicion = 'whole' | 'within' | 'texts' | 'containers';

// Names are compared as runs of words written as one, so that api_key, apiKey, API-KEY and "Api key" are all `apikey`.
// The lists follow those of redact-secrets (https://github.com/watson/is-secret) and of Sentry's data scrubber
// (https://docs.sentry.io/security-legal-pii/scrubbing/server-side-scrubbing/), and what LLM providers call theirs.
const anywhere = new Set([
  ...['password', 'passwords', 'passwd', 'pwd', 'passphrase', 'passcode', 'secret', 'secrets'],
  ...['credential', 'credentials', 'creds', 'connectionstring', 'connectionstrings', 'connstr'],
  ...['environmentvariable', 'environmentvariables', 'envvar', 'envvars', 'envvariables'],
  ...keysOf('api', 'access', 'secret', 'private', 'signing', 'encryption', 'decryption', 'master', 'ssh'),
  ...keysOf('auth', 'account', 'shared', 'session', 'service', 'hmac', 'cipher', 'license', 'subscription'),
  ...keysOf('app', 'application', 'consumer', 'deploy', 'storage', 'webhook', 'root', 'admin', 'client'),
]);
/** Credentials where a name ends so; in its middle they only say what the rest is about (`jwt_issuer`). */
const atTheEnd = new Set([
  ...['authorization', 'cookie', 'cookies', 'jwt', 'jwts', 'bearer', 'dsn'],
  ...['accesstokens', 'apitokens', 'authtokens', 'bearertokens', 'refreshtokens', 'sessiontokens'],
  ...keysOf('openai', 'anthropic', 'azure', 'cohere', 'gemini', 'google', 'groq', 'huggingface', 'mistral'),
  ...['database', 'db', 'postgres', 'postgresql', 'pg', 'mysql', 'mariadb', 'mssql', 'sql', 'jdbc', 'mongo']
    .concat(['mongodb', 'redis', 'valkey', 'cache', 'amqp', 'rabbitmq', 'broker', 'kafka', 'clickhouse'])
    .concat(['elasticsearch', 'smtp', 'connection'])
    .flatMap((store) => [`${store}url`, `${store}urls`, `${store}uri`, `${store}uris`]),
  ...['db', 'database', 'user', 'smtp', 'redis', 'mysql', 'postgres', 'pg', 'mail', 'proxy', 'ldap', 'auth']
    .concat(['admin', 'root', 'login', 'ftp'])
    .map((whose) => `${whose}pass`),
]);
/** What a name is suspect of only where it is nothing else: `{ user, pass }`, `{ env: { HOME } }`. */
const alone = new Map<string, Suspicion>([
  ['pass', 'texts'],
  ['env', 'containers'],
  ['environ', 'containers'],
  ['environment', 'containers'],
]);
/** Words that make a token one of a language model's, or a measure. */
const ofLanguage = new Set(
  [
    'bos',
    'eos',
    'bot',
    'eot',
    'eom',
    'pad',
    'padding',
    'unk',
    'unknown',
    'mask',
    'sep',
    'separator',
    'cls',
  ].concat(
    [
      'stop',
      'start',
      'end',
      'begin',
      'special',
      'image',
      'audio',
      'video',
      'text',
      'think',
      'thinking',
      'tool',
    ],
    [
      'prefix',
      'suffix',
      'middle',
      'fim',
      'per',
      'first',
      'last',
      'next',
      'each',
      'decoder',
      'encoder',
      'newline',
    ],
  ),
);

const mostWordsOfOne = 3;
/** Every name above has one of these in it: most keys are done with here. */
const stems = /pass|pwd|passcode|secret|cred|conn|key|token|auth|cookie|jwt|bearer|dsn|ur[il]|env/i;
/** Between words, and where a word begins within a run of letters and digits: apiKey, APIKey, key2. */
const boundaries =
  /[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])/;

function keysOf(...whose: string[]): string[] {
  return whose.flatMap((name) => [`${name}key`, `${name}keys`]);
}

/** What a name makes its value suspect of; undefined for an ordinary one. Its time grows with its length alone. */
export function suspicionOf(name: string): Suspicion | undefined {
  if (!stems.test(name)) return undefined;
  const words = name
    .split(boundaries)
    .map((word) => word.toLowerCase())
    .filter((word) => word !== '');
  // A number of several: password2, API_KEY_1.
  while (words.length > 1 && /^\d+$/.test(words.at(-1) ?? '')) words.pop();
  const whole = alone.get(words.join(''));
  if (whole !== undefined) return whole;
  let within = false;
  for (let from = 0; from < words.length; from += 1)
    for (let to = from + 1; to <= Math.min(words.length, from + mostWordsOfOne); to += 1) {
      const run = words.slice(from, to).join('');
      const isCredential = anywhere.has(run) || (to === from + 1 && isCompound(run));
      if (to === words.length && (isCredential || atTheEnd.has(run))) return 'whole';
      within ||= isCredential;
    }
  if (within) return 'within';
  return words.at(-1)?.endsWith('token') && !ofLanguage.has(words.at(-2) ?? '') ? 'texts' : undefined;
}

/** Words written as one, without a sign of where they part: dbpassword, clientsecret, openaiapikey. */
function isCompound(word: string): boolean {
  return (
    /password|passwd|passphrase|credential|apikey|privatekey|secretkey|accesskey/.test(word) ||
    /secrets?$/.test(word)
  );
}
