// Owns which names stand for a credential: keys of JSON, headers, environment variables, parameters of a query.

/**
 * What a name says of its value. `whole`: it is one, whatever its type; `within`: the name says more about it, so that
 * a number is a figure (`password_min_length`); `texts`: any text in it is one, while numbers are settings (`token`);
 * `containers`: an object or array of it holds some, while a text is a setting (`env`).
 */
export type Suspicion = 'whole' | 'within' | 'texts' | 'containers';

// Names are compared by their words, written as one: api_key, apiKey, API-KEY and "Api key" are all `apikey`.
// The lists follow those of redact-secrets (https://github.com/watson/is-secret) and of Sentry's data scrubber
// (https://docs.sentry.io/security-legal-pii/scrubbing/server-side-scrubbing/), and what LLM providers call theirs.
const anywhere = endingIn([
  ...['password', 'passwords', 'passwd', 'pwd', 'passphrase', 'passcode', 'secret', 'secrets'],
  ...['passwort', 'mnemonic', 'seedphrase', 'recoveryphrase', 'kubeconfig'],
  ...['credential', 'credentials', 'creds', 'connectionstring', 'connectionstrings', 'connstr'],
  ...['environmentvariable', 'environmentvariables', 'envvar', 'envvars', 'envvariables'],
  ...keysOf(
    'api',
    'access',
    'secret',
    'private',
    'priv',
    'signing',
    'encryption',
    'decryption',
    'master',
    'ssh',
  ),
  ...keysOf('auth', 'account', 'shared', 'session', 'service', 'hmac', 'cipher', 'license', 'subscription'),
  ...keysOf('app', 'application', 'consumer', 'deploy', 'storage', 'webhook', 'root', 'admin', 'client'),
]);
/** Credentials where a name ends so; in its middle they only say what the rest is about (`jwt_issuer`). */
const atTheEnd = endingIn([
  ...['authorization', 'cookie', 'cookies', 'jwt', 'jwts', 'bearer', 'dsn'],
  ...['accesstokens', 'apitokens', 'authtokens', 'bearertokens', 'refreshtokens', 'sessiontokens'],
  ...keysOf('openai', 'anthropic', 'azure', 'cohere', 'gemini', 'google', 'groq', 'huggingface', 'mistral'),
  ...words(
    'database db postgres postgresql mysql mariadb mssql sql jdbc mongo mongodb redis valkey cache amqp',
  )
    .concat(words('rabbitmq broker kafka clickhouse elasticsearch smtp connection'))
    .flatMap((store) => [`${store}url`, `${store}urls`, `${store}uri`, `${store}uris`]),
  ...words('db database user smtp redis mysql postgres mail proxy ldap auth admin root login ftp').map(
    (whose) => `${whose}pass`,
  ),
  'amzsignature',
]);
/** What a name is suspect of only where it is nothing else: `{ user, pass }`, `{ env: { HOME } }`. */
const alone = new Map<string, Suspicion>([
  ['pass', 'texts'],
  ['sig', 'texts'],
  ['env', 'containers'],
  ['environ', 'containers'],
  ['environment', 'containers'],
]);
/** Words that make a token one of a language model's, or a measure. */
const ofLanguage = new Set([
  ...words(
    'bos eos eot eom pad padding unk unknown mask sep separator cls stop start end begin special fim newline',
  ),
  ...words('image audio video text think thinking tool prompt completion input output cached reasoning'),
  ...words('prefix suffix middle decoder encoder first last next each new per max min num total'),
]);

/** Written as one with what comes behind: passwordhash. */
const withinWord = /password|passwd|passphrase|credential|apikey|privatekey|secretkey|accesskey/;

const mostWordsOfOne = 3;
/** Every name above has one of these in it: most keys are done with here. */
const stems =
  /pass|pwd|secret|cred|mnemonic|phrase|kubeconfig|conn|key|token|auth|cookie|jwt|bearer|dsn|ur[il]|env|sig/i;
/** Between words, and where a word begins within a run of letters and digits: apiKey, APIKey, key2. */
const boundaries =
  /[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])/;

/** Also of a word, where no sign says where its parts meet: dbpassword, MYJWT. */
function endingIn(names: readonly string[]): RegExp {
  return new RegExp(`(?:${names.join('|')})$`);
}

function words(text: string): string[] {
  return text.split(' ');
}

function keysOf(...whose: string[]): string[] {
  return whose.flatMap((name) => [`${name}key`, `${name}keys`]);
}

/** What a name makes its value suspect of; undefined for an ordinary one. Its time grows with its length alone. */
export function suspicionOf(name: string): Suspicion | undefined {
  if (!stems.test(name)) return undefined;
  const parts = name
    .split(boundaries)
    .map((word) => word.toLowerCase())
    .filter((word) => word !== '');
  // A number of several: password2, API_KEY_1.
  while (parts.length > 1 && /^\d+$/.test(parts.at(-1) ?? '')) parts.pop();
  const whole = alone.get(parts.join(''));
  if (whole !== undefined) return whole;
  let within = false;
  for (let to = 1; to <= parts.length; to += 1) {
    const run = parts.slice(Math.max(0, to - mostWordsOfOne), to).join('');
    const isCredential = anywhere.test(run) || withinWord.test(parts[to - 1] ?? '');
    if (to === parts.length && (isCredential || atTheEnd.test(run))) return 'whole';
    within ||= isCredential;
  }
  if (within) return 'within';
  return parts.at(-1)?.endsWith('token') && !ofLanguage.has(parts.at(-2) ?? '') ? 'texts' : undefined;
}
