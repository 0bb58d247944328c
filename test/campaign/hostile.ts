// Owns what a client with bad intentions, or a bad library, would send in place of what is asked for.
import fc from 'fast-check';
import { applyChange, type Change, documentOf, type JsonText, raw, write } from './json-text.ts';

/** In every name that could come to stand in a file's: none of it may be found anywhere afterwards. */
export const escapedName = 'escaped-7f3a';

const languageNames = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'then',
  'toJSON',
];

const texts = [
  ...['', ' ', '\t', '\u0000', 'a\u0000b', '\u0001\u001f\u007f\u0085', '\r\nX-Injected: 1', 'a\nb=true'],
  ...[
    '\ud800',
    'a\udfff',
    '\udc00\ud800',
    '\u202e\u200f\u061c',
    '\u2066x',
    '\ufeff',
    '\u2028\u2029',
    '\uffff',
  ],
  ...['e\u0301\u0301\u0301', '😀𝒳', 'ﷺ', 'ı', '１', '٣', 'İ', '\u{10ffff}'],
  ...['.', '..', '../..', `../../${escapedName}`, `..\\..\\${escapedName}`, `/tmp/${escapedName}`],
  ...[
    `..%2f..%2f${escapedName}`,
    `%2e%2e/${escapedName}`,
    `..%252f${escapedName}`,
    '%00',
    `${escapedName}%00.env`,
  ],
  ...["'; DROP TABLE organizations; --", '$1', '#{7*7}', '{{7*7}}', '%s%n', '<script>', '*', '%', '_'],
  ...[
    'true',
    'null',
    'undefined',
    'NaN',
    'Infinity',
    '-1',
    '0',
    '1.5',
    '1e3',
    '1e400',
    '0x10',
    '9007199254740993',
  ],
  ...[255, 256, 1_000, 3_000].map((length) => 'x'.repeat(length)),
  ...languageNames,
];

const anyBinary = fc.string({ unit: 'binary' });

export const hostileText: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...texts) },
  { weight: 2, arbitrary: anyBinary },
  {
    weight: 1,
    arbitrary: fc.string({ unit: fc.nat({ max: 0xffff }).map((code) => String.fromCharCode(code)) }),
  },
);

export const hostileKey: fc.Arbitrary<string> = fc.oneof(fc.constantFrom(...languageNames), hostileText);

/** Rarely, and one in a while beyond what a body, or a frame, may hold. */
const hugeText = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(10_000, 100_001) },
  { weight: 1, arbitrary: fc.constantFrom(270_000, 1_100_000) },
);

const numbers = [
  ...['-1', '-0', '0', '1.5', '1e3', '1e400', '-1e400', '1e-400', '9007199254740993', '1e308', '0.1e-7'],
  ...['123456789012345678901234567890', '2147483648', '-9223372036854775809', '1'.repeat(400)],
];
/** Which no JSON is. */
const noNumbers = ['NaN', 'Infinity', '-Infinity', '01', '.5', '+1', '0x10', '1_000'];

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
const nestedObject = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

const oddObjects = [
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '{"toString":1,"valueOf":1,"toJSON":1,"then":{}}',
  '{"length":1e9}',
  '{"a":1,"a":2}',
  '{"":1}',
  '{"_placeholder":true,"num":0}',
];

export const hostileValue: fc.Arbitrary<JsonText> = fc.oneof(
  { weight: 6, arbitrary: hostileText.map(documentOf) },
  { weight: 4, arbitrary: fc.constantFrom(...numbers).map(raw) },
  { weight: 3, arbitrary: fc.constantFrom('null', 'true', 'false', '[]', '{}', '[null]', '[[]]').map(raw) },
  { weight: 3, arbitrary: fc.constantFrom(...oddObjects).map(raw) },
  { weight: 3, arbitrary: fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' }).map(documentOf) },
  { weight: 1, arbitrary: fc.constantFrom(...noNumbers).map(raw) },
  { weight: 1, arbitrary: fc.constantFrom(31, 32, 33, 500, 9_000).map((depth) => raw(nested(depth))) },
  { weight: 1, arbitrary: fc.constantFrom(31, 32, 33, 500, 5_000).map((depth) => raw(nestedObject(depth))) },
  { weight: 1, arbitrary: hugeText.map((length) => raw(`"${'x'.repeat(length)}"`)) },
  { weight: 1, arbitrary: fc.constantFrom(100, 5_000).map((length) => raw(`[${'1,'.repeat(length)}1]`)) },
);

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom('replace', 'drop', 'add', 'repeat', 'wrap'),
  at: fc.nat({ max: 30 }),
  key: hostileKey,
  value: hostileValue,
});

/** Breaks the text of a document. */
const damages: ((text: string, at: number) => string)[] = [
  (text) => text,
  (text, at) => text.slice(0, at % (text.length + 1)),
  (text, at) => `${text.slice(0, at % (text.length + 1))}\u0001${text.slice(at % (text.length + 1))}`,
  (text) => `${text}${text}`,
  (text) => `${text},`,
  (text) => `\ufeff${text}`,
  (text) => `/* */${text}`,
  (text) => text.replaceAll('"', "'"),
  (text) => text.replaceAll('"', ''),
  (text) => `${text}\u0000`,
  () => '',
  () => '   ',
  () => '"',
  () => '{"a":1',
  () => nested(30_000),
  () => '['.repeat(50_000),
  () => '{"a":'.repeat(50_000),
];
const damage = fc.record({ how: fc.nat({ max: damages.length - 1 }), at: fc.nat({ max: 2_000 }) });

/** The text of a value that is right, or of what was made of it; `damaged` may be no JSON at all. */
export function hostileJson(
  values: fc.Arbitrary<unknown>,
  options: { damaged: boolean },
): fc.Arbitrary<string> {
  const documents = values.map(documentOf);
  const changed = fc
    .tuple(documents, fc.array(change, { minLength: 1, maxLength: 3 }))
    .map(([document, changes]) => write(changes.reduce(applyChange, document)));
  const right = documents.map(write);
  const broken = fc.tuple(right, damage).map(([text, { how, at }]) => damages[how]?.(text, at) ?? text);
  return fc.oneof(
    { withCrossShrink: true },
    { weight: 8, arbitrary: right },
    { weight: 11, arbitrary: changed },
    { weight: options.damaged ? 2 : 0, arbitrary: broken },
    { weight: 1, arbitrary: hostileValue.map(write) },
  );
}
