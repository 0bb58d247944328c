// Owns JSON as it is written, not as it is read: numbers of any size, keys more than once, `__proto__` as a key.

/** A document: text that stands as it is, or what such are put together to. */
export type JsonText =
  | { readonly kind: 'raw'; readonly text: string }
  | { readonly kind: 'array'; readonly items: readonly JsonText[] }
  | { readonly kind: 'object'; readonly members: readonly (readonly [key: string, value: JsonText])[] };

export const raw = (text: string): JsonText => ({ kind: 'raw', text });

/** The document of a value. */
export function documentOf(value: unknown): JsonText {
  if (Array.isArray(value)) return { kind: 'array', items: value.map(documentOf) };
  if (typeof value !== 'object' || value === null) return raw(JSON.stringify(value) ?? 'null');
  const members = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return { kind: 'object', members: members.map(([key, inner]) => [key, documentOf(inner)]) };
}

export function write(document: JsonText): string {
  switch (document.kind) {
    case 'raw':
      return document.text;
    case 'array':
      return `[${document.items.map(write).join(',')}]`;
    case 'object':
      return `{${document.members.map(([key, value]) => `${JSON.stringify(key)}:${write(value)}`).join(',')}}`;
    default:
      return document satisfies never;
  }
}

/** One change at one place of a document. */
export interface Change {
  readonly kind: 'replace' | 'drop' | 'add' | 'repeat' | 'wrap';
  /** Which place, counted from the root through all of them; beyond the last one it begins anew. */
  readonly at: number;
  readonly key: string;
  readonly value: JsonText;
}

export function applyChange(document: JsonText, change: Change): JsonText {
  const target = change.at % count(document);
  let at = -1;
  function visit(node: JsonText): JsonText | undefined {
    at += 1;
    if (at === target) return changed(node, change);
    if (node.kind === 'array')
      return { ...node, items: node.items.map(visit).filter((item) => item !== undefined) };
    if (node.kind === 'object')
      return {
        ...node,
        members: node.members.flatMap(([key, value]): [string, JsonText][] => {
          const now = visit(value);
          return now === undefined ? [] : [[key, now]];
        }),
      };
    return node;
  }
  return visit(document) ?? raw('');
}

function changed(node: JsonText, { kind, key, value }: Change): JsonText | undefined {
  switch (kind) {
    case 'replace':
      return value;
    case 'drop':
      return undefined;
    case 'wrap':
      return { kind: 'array', items: [node] };
    case 'add':
    case 'repeat': {
      if (node.kind === 'array') return { ...node, items: [...node.items, value] };
      if (node.kind !== 'object') return value;
      const [first] = node.members;
      const name = kind === 'repeat' && first !== undefined ? first[0] : key;
      return { ...node, members: [...node.members, [name, value]] };
    }
    default:
      return kind satisfies never;
  }
}

function count(node: JsonText): number {
  if (node.kind === 'array') return node.items.reduce((sum, item) => sum + count(item), 1);
  if (node.kind === 'object') return node.members.reduce((sum, [, value]) => sum + count(value), 1);
  return 1;
}
