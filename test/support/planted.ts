// Owns credentials in tests: JSON of every shape with secrets planted in it, whose words nothing may show.
import fc from 'fast-check';

/** JSON, and the secrets that stand in it. */
export interface Planted {
  value: Record<string, unknown>;
  secrets: string[];
}

/** What the names of credentials are made of, each as its words. */
const names = (
  'password|passwd|passphrase|pwd|secret|secrets|credential|credentials|token|access token|refresh token|api key|api keys|' +
  'access key|private key|secret key|signing key|encryption key|client secret|authorization|proxy authorization|cookie|' +
  'set cookie|jwt|bearer|dsn|connection string|database url|redis url|db url|mongodb uri|environment variables|env vars|' +
  'db password|bot token|mysql pass|openai api key|aws secret access key|github token|x api key|ssh key|webhook secret|smtp pass'
)
  .split('|')
  .map((name) => name.split(' '));
const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);
const styles: ((words: string[]) => string)[] = [
  (words) => words.join('_'),
  (words) => words.join('_').toUpperCase(),
  (words) => words.join('-'),
  (words) => words.map(capital).join('-'),
  (words) => words.join(' '),
  (words) => words.join('.'),
  (words) => words.map((word, at) => (at === 0 ? word : capital(word))).join(''),
  (words) => words.map(capital).join(''),
  (words) => words.map((word) => (word.length <= 3 ? word.toUpperCase() : capital(word))).join(''),
];
const prefixes = [[], ['my'], ['openai'], ['prod', 'db'], ['x']];

/** Names such as `prod_db_password`, `OPENAI_API_KEY`, `x-api-key`, `clientSecret`. */
export const credentialNames = fc
  .tuple(fc.constantFrom(...prefixes), fc.constantFrom(...names), fc.constantFrom(...styles))
  .map(([prefix, name, style]) => style([...prefix, ...name]));

/** Letters and digits that stand nowhere else. */
export const secrets = fc
  .string({ unit: fc.constantFrom(...'ABCDEFGHJKMNPQRSTVWXYZ23456789'), minLength: 40, maxLength: 40 })
  .map((drawn) => `1Z${drawn}`);

const base64 = (text: string) => Buffer.from(text).toString('base64');
/** Texts that tell by themselves that they hold a credential, and what of each nothing may show. */
export const credentialTexts: Record<string, (secret: string) => [text: string, secret: string]> = {
  'a URL with a password': (secret) => [`postgres://user:${secret}@db.example:5432/x?a=b`, secret],
  'a URL with a password that is not escaped': (secret) => [`redis://:a/${secret}@cache`, secret],
  'a URL with a token for a user': (secret) => [`https://${secret}@git.example/x.git`, secret],
  'a JSON Web Token': (secret) => [`eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.${secret}`, secret],
  'a JSON Web Token without a signature': (secret) => [`eyJhbGciOiJub25lIn0.${secret}.`, secret],
  'a bearer': (secret) => [`Bearer ${secret}`, secret],
  'a user with a password': (secret) => [`Basic ${base64(`u:${secret}`)}`, base64(`u:${secret}`)],
  'a private key': (secret) => [
    `-----BEGIN RSA PRIVATE KEY-----\n${secret}\n-----END RSA PRIVATE KEY-----\n`,
    secret,
  ],
  'a private key that is cut off': (secret) => [`-----BEGIN PRIVATE KEY-----\n${secret}\nMII`, secret],
  'a key of OpenAI': (secret) => [`sk-proj-${secret}`, secret],
  'a key of Anthropic': (secret) => [`sk-ant-api03-${secret}`, secret],
  'a token of GitHub': (secret) => [`ghp_${secret}`, secret],
  'a fine-grained token of GitHub': (secret) => [`github_pat_${secret}`, secret],
  'a token of GitLab': (secret) => [`glpat-${secret}`, secret],
  'a token of Slack': (secret) => [`xoxb-${secret}`, secret],
  'a key id of AWS': (secret) => [`AKIA${secret.slice(0, 16)}`, secret.slice(0, 16)],
  'a key of Google': (secret) => [`AIza${secret.slice(0, 35)}`, secret.slice(0, 35)],
  'a token of Hugging Face': (secret) => [`hf_${secret}`, secret],
  'a token of npm': (secret) => [`npm_${secret}`, secret],
  'a parameter of a query': (secret) => [`https://x.example/?a=1&api_key=${secret}&b=2`, secret],
  'JSON in a text': (secret) => [JSON.stringify({ a: 1, password: `a "${secret}" b` }), secret],
};
/** A text with one of them in it, with or without other words. */
export const plantedTexts = fc
  .tuple(
    fc.constantFrom(...Object.values(credentialTexts)),
    secrets,
    fc.constantFrom(
      ['', ''],
      ['see ', ''],
      ['', ' (new)'],
      ['(', ')'],
      ['it is "', '", they say'],
      ['a\n', '\nb'],
    ),
  )
  .map(([form, secret, [before, after]]) => {
    const [text, planted] = form(secret);
    return { text: `${before}${text}${after}`, secret: planted };
  });

/** What a settings page of a language model has: none of it is a credential. */
export const ordinarySettings = {
  ...{
    model: 'gpt-4o',
    models: ['small', 'large'],
    author: 'Ada',
    authors: ['Ada'],
    secretary: 'Bob',
    monkey: 'George',
  },
  ...{
    keyboard: 'qwerty',
    tokenizer: 'cl100k_base',
    tokenizer_path: '/models/tokenizer.json',
    keywords: ['a', 'b'],
  },
  ...{
    max_tokens: 4096,
    maxTokens: '4096',
    token_limit: '10000',
    token_budget: 5,
    tokens: ['a', 'b'],
    tokens_per_s: 7,
  },
  ...{
    total_tokens: 3,
    prompt_tokens: 1,
    completionTokens: 2,
    token_count: '12',
    token: 7,
    key: 'x',
    keys: ['x'],
  },
  ...{ bos_token: '<s>', eos_token: '</s>', pad_token: '[PAD]', stop_token: '<|end|>', mask_token: '[MASK]' },
  ...{
    latency_per_token: '12ms',
    time_to_first_token: '200ms',
    primary_key: 'id',
    cache_key: 'prompt',
    hotkey: 'x',
  },
  ...{
    has_password: true,
    password: null,
    secret: false,
    api_key: '',
    use_token: true,
    password_min_length: 8,
  },
  ...{
    jwt_issuer: 'https://issuer.example',
    cookie_policy: 'lax',
    public_key_url: 'https://x.example/jwks.json',
  },
  ...{
    url: 'http://10.0.0.7:8080/a?b=c&d=e@f',
    ip: '10.0.0.1',
    host: 'db.example:5432',
    env: 'prod',
    mail: 'a@b.c',
  },
  ...{
    environment: 'production',
    jpg_url: 'https://x.example/a.jpg',
    connection_timeout: 5,
    passage: 'text',
    compass: 'north',
    bypass: 'no',
    pass_rate: 1,
  },
  ...{
    note: 'Basic training for the bearer of news; see sk-learn-based-approach',
    time: '2026-11-24T08:20:22.344Z',
  },
  ...{
    digest: 'sha256:9f86d081884c7d659a2feaa0c55ad015',
    id: '01a20ca4-4194-7468-9906-134cea0b25b0',
    version: '1.2.3',
  },
  ...{
    '': '',
    '0': 0,
    constructor: { prototype: {} },
    list: [{ name: 'LANG', value: 'C' }, [], {}, null, 1.5],
  },
};

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
const plain = fc.oneof(
  fc.constantFrom<Json[]>(null, true, 0, 'x', ''),
  fc.constant<Json>({ max_tokens: 4096, author: 'Ada' }),
);
const plainKeys = fc.constantFrom('a', 'name', 'items', 'nested', 'constructor', 'features', 'model');

/** One credential, as the entry of an object. */
const entries: fc.Arbitrary<{ key: string; value: unknown; secrets: string[] }> = fc.oneof(
  fc.record({ key: credentialNames, secret: secrets }).map(({ key, secret }) => ({
    ...{ key, value: secret, secrets: [secret] },
  })),
  fc
    .record({ key: credentialNames, drawn: fc.tuple(secrets, secrets) })
    .map(({ key, drawn: [one, two] }) => ({
      ...{ key, value: { first: one, list: [1, { second: two }] }, secrets: [one, two] },
    })),
  fc.record({ key: plainKeys, planted: plantedTexts }).map(({ key, planted: { text, secret } }) => ({
    ...{ key, value: text, secrets: [secret] },
  })),
  fc.record({ key: plainKeys, planted: plantedTexts }).map(({ key, planted: { text, secret } }) => ({
    ...{ key, value: { [text]: 1 }, secrets: [secret] },
  })),
  fc.record({ name: credentialNames, key: plainKeys, secret: secrets }).map(({ name, key, secret }) => ({
    ...{ key, value: [{ name, value: secret }], secrets: [secret] },
  })),
  fc
    .constantFrom('env', 'environment', 'ENV')
    .chain((key) => secrets.map((secret) => ({ ...{ key, value: { PLAIN: secret }, secrets: [secret] } }))),
);

/** JSON objects with one to four credentials, each up to ten levels deep. */
export const plantedObjects: fc.Arbitrary<Planted> = fc
  .array(
    fc
      .record({
        entry: entries,
        beside: plain,
        path: fc.array(fc.tuple(plainKeys, fc.boolean()), { maxLength: 5 }),
      })
      .map(({ entry, beside, path }) => ({
        value: path.reduce<unknown>(
          (inner, [key, isList]) => ({ [key]: isList ? [beside, inner] : inner, beside }),
          { [entry.key]: entry.value },
        ),
        secrets: entry.secrets,
      })),
    { minLength: 1, maxLength: 4 },
  )
  .map((all) => ({
    value: Object.fromEntries(all.map((each, at) => [`at_${at}`, each.value])),
    secrets: all.flatMap((each) => each.secrets),
  }));
