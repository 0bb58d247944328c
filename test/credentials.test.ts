// What looks like a credential is hidden, wherever it stands; what does not stays as it is.
import test from 'ava';
import fc from 'fast-check';
import { suspicionOf } from '../src/credential-names.ts';
import { hideCredentials, hideCredentialsInText } from '../src/credentials.ts';
import {
  credentialNames,
  credentialTexts,
  ordinarySettings,
  plantedObjects,
  plantedTexts,
  secrets,
} from './support/planted.ts';

test('a credential under any of the names, in any spelling and at any depth, is hidden', (t) => {
  fc.assert(
    fc.property(plantedObjects, ({ value, secrets: planted }) => {
      const before = JSON.stringify(value);
      const shown = JSON.stringify(hideCredentials(value));
      for (const secret of planted) {
        if (!before.includes(secret)) throw new Error(`${secret} was not planted`);
        if (shown.includes(secret)) throw new Error(`${secret} is shown: ${shown}`);
      }
      if (JSON.stringify(value) !== before) throw new Error('the value itself was changed');
      if (JSON.stringify(hideCredentials(JSON.parse(shown))) !== shown)
        throw new Error('hidden twice, it differs');
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});

test('every name of a credential is known by its words alone', (t) => {
  fc.assert(fc.property(credentialNames, (name) => suspicionOf(name) !== undefined));
  t.pass();
});

for (const [what, form] of Object.entries(credentialTexts))
  test(`${what} is hidden in a text, and by itself`, (t) => {
    const [drawn = ''] = fc.sample(secrets, 1);
    const [text, secret] = form(drawn);
    t.true(text.includes(secret));
    t.false(hideCredentialsInText(text).includes(secret), hideCredentialsInText(text));
    t.false(JSON.stringify(hideCredentials({ note: text })).includes(secret));
  });

test('a text with a credential in it keeps its other words', (t) => {
  fc.assert(
    fc.property(plantedTexts, ({ text, secret }) => !hideCredentialsInText(`first ${text}`).includes(secret)),
  );
  for (const [text, shown] of [
    ['connect to postgres://u:p@db:5432/x failed', 'connect to postgres://[hidden]@db:5432/x failed'],
    ['https://x.example/?token=a1&page=2', 'https://x.example/?token=[hidden]&page=2'],
    ['Server=db;Password=p;Pooling=true', 'Server=db;Password=[hidden];Pooling=true'],
    ['sent Authorization: Bearer a1b2 to it', 'sent Authorization: Bearer [hidden] to it'],
    ['user "sk-abcdefghijklmnop1" is blocked', 'user "[hidden]" is blocked'],
  ] as const)
    t.is(hideCredentialsInText(text), shown);
});

test('ordinary settings are given back as the same value', (t) => {
  t.is(hideCredentials(ordinarySettings), ordinarySettings);
  for (const value of [null, true, 0, '', 'x', [], {}, [ordinarySettings]])
    t.is(hideCredentials(value), value);
});

test('only what is hidden differs, and what is not touched is shared', (t) => {
  const kept = { max_tokens: 5 };
  const shown = hideCredentials({ kept, list: [kept, { password: 'p' }], pin: { api_key: 7, token: 7 } });
  t.deepEqual(shown, {
    kept,
    list: [kept, { password: '[hidden]' }],
    pin: { api_key: '[hidden]', token: 7 },
  });
  if (typeof shown === 'object' && shown !== null) t.is(Reflect.get(shown, 'kept'), kept);
});

test('a variable that is told as name and value is hidden by its name', (t) => {
  t.deepEqual(
    hideCredentials([
      { name: 'DB_PASSWORD', value: 'p' },
      { key: 'LANG', value: 'C' },
    ]),
    [
      { name: 'DB_PASSWORD', value: '[hidden]' },
      { key: 'LANG', value: 'C' },
    ],
  );
});

for (const [what, value, shown] of [
  ['as a tag', { Key: 'API_KEY', Value: 'p' }, { Key: 'API_KEY', Value: '[hidden]' }],
  ['as a header', { header: 'X-Api-Key', value: 'p' }, { header: 'X-Api-Key', value: '[hidden]' }],
  [
    'beside an id',
    { id: 7, name: 'one', key: 'token', val: 'p' },
    { id: 7, name: 'one', key: 'token', val: '[hidden]' },
  ],
  [
    'as pairs',
    {
      list: [
        ['DB_PASSWORD', 'p'],
        ['LANG', 'C'],
      ],
    },
    {
      list: [
        ['DB_PASSWORD', '[hidden]'],
        ['LANG', 'C'],
      ],
    },
  ],
  [
    'as one pair with more in it',
    [['auth_token', { a: ['p'], n: 5 }]],
    [['auth_token', { a: ['[hidden]'], n: 5 }]],
  ],
  [
    'as arguments',
    ['--user', 'u', '--db-password', 'p', 'x'],
    ['--user', 'u', '--db-password', '[hidden]', 'x'],
  ],
  [
    'as Python prints it',
    "{'user': 'u', 'password': 'p', 'n': 1}",
    "{'user': 'u', 'password': '[hidden]', 'n': 1}",
  ],
  [
    'by a rarer name',
    { priv_key: 'p', seed_phrase: 'p q', kubeconfig: 'p' },
    { priv_key: '[hidden]', seed_phrase: '[hidden]', kubeconfig: '[hidden]' },
  ],
] as [string, unknown, unknown][])
  test(`a credential that is told ${what} is hidden`, (t) => {
    t.deepEqual(hideCredentials(value), shown);
  });

test('lists that only look like it stay', (t) => {
  for (const value of [
    {
      scopes: ['password', 'token'],
      pairs: [
        ['en', 'de'],
        ['password', 5, 6],
      ],
    },
    ['-p', 'x', '--verbose', 'yes', '--max-tokens', '5'],
    [
      { id: 'model', value: 'small' },
      { key: 'eos_token', value: '</s>' },
    ],
    "it's a key: 'small'",
  ])
    t.deepEqual(hideCredentials(value), value);
});

test('the text of a token is hidden however deep it is in it, and its numbers are not', (t) => {
  t.deepEqual(hideCredentials({ token: { value: ['a'], expires_in: 5, ok: true } }), {
    token: { value: ['[hidden]'], expires_in: 5, ok: true },
  });
});

test('keys that mean something to JavaScript are only keys', (t) => {
  const shown = hideCredentials(
    JSON.parse('{"__proto__":{"password":"p","a":1},"constructor":{"token":"t"}}'),
  );
  t.is(
    JSON.stringify(shown),
    '{"__proto__":{"password":"[hidden]","a":1},"constructor":{"token":"[hidden]"}}',
  );
  t.is(Reflect.get({}, 'a'), undefined);
});

/** Beginnings of everything that is looked for, which never come to their end. */
const teasers = [
  ...[
    'a',
    'aA',
    'a1',
    '-',
    '_',
    '.',
    ':',
    '@',
    '=',
    '"',
    '\\',
    ' ',
    '://',
    '://a:b',
    '://a:x@',
    'eyJ',
    '-eyJ',
  ],
  ...['.eyJaaaaaaaa', 'eyJaaaaaaaa.', 'Bearer ', 'bearer  ', '-----BEGIN ', '-----BEGIN PRIVATE KEY-----'],
  ...[
    '-----END ',
    '-----END A PRIVATE ',
    'sk-',
    '-sk-a',
    'ghp_',
    'github_pat_',
    'SG.aaaaaaaaaaaaaaaa',
    'SG.-',
  ],
  ...[
    'xoxb-',
    'AKIA',
    'AIza',
    'a=',
    'password=',
    'password="',
    "password='",
    '"password":"',
    '" : "',
    "' : '",
    "a'",
    "token'",
    'token=\\"',
  ],
  ...['lsv2_pt_', 'hooks.slack.com/services/', 'password', 'Key', 'KEY', 'APIkey', 'tokentoken'],
];

/** Milliseconds of this thread's own time: neither what else runs on the machine counts, nor other files of tests. */
function costOf(work: () => unknown): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}

test('no text takes longer than its length says', (t) => {
  for (const head of ['', '-----BEGIN PRIVATE KEY-----', 'password="', 'eyJ'])
    for (const teaser of teasers) {
      const cost = (length: number) => {
        const text = head + teaser.repeat(Math.ceil(length / teaser.length));
        return costOf(() => hideCredentials({ [text]: text }));
      };
      // Eight times as long: eight times the time, or 64 where it grows with the square.
      const ratio = () => cost(100_000) / Math.max(cost(12_500), 3);
      // The first time compiles the expressions, and the collector may run at any.
      t.true(ratio() < 24 || Math.min(ratio(), ratio(), ratio()) < 24, `${head}${teaser}`);
    }
});
