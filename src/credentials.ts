// Owns the hiding of credentials: what looks like one leaves the controller as `[hidden]`.
import { type Suspicion, suspicionOf } from './credential-names.ts';

const hidden = '[hidden]';

/**
 * A JSON value without what looks like a credential by its key or by itself. A guess, and a safe one rather than a
 * narrow one: it is for what is shown, never for what is stored.
 * @returns the same value where there is nothing to hide
 */
export function hideCredentials(value: unknown): unknown {
  return hideWithin(value, undefined);
}

/** @param suspicion what the key above it, or above that, says of it */
function hideWithin(value: unknown, suspicion: Suspicion | undefined): unknown {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number') return suspicion === 'whole' ? hidden : value;
  if (typeof value === 'string') {
    if (suspicion === undefined || suspicion === 'containers') return hideCredentialsInText(value);
    return value === '' ? value : hidden;
  }
  if (typeof value !== 'object') return value;
  if (suspicion !== undefined && suspicion !== 'texts') return hidden;
  if (Array.isArray(value)) {
    const arePairs = value.length > 0 && value.every(isPair);
    const shown = value.map((inner, at) =>
      arePairs ? hideInPair(inner, suspicion) : hideWithin(inner, ofOption(value[at - 1]) ?? suspicion),
    );
    return shown.some((inner, at) => inner !== value[at]) ? shown : value;
  }
  return hideInObject(value, suspicion);
}

function isPair(value: unknown): value is readonly [string, unknown] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string';
}

/** A list of names and values is an object, written in another way. */
function hideInPair(pair: unknown, suspicion: Suspicion | undefined): unknown {
  if (!isPair(pair)) return pair;
  const [name, inner] = pair;
  const shown = [hideWithin(name, undefined), hideWithin(inner, suspicionOf(name) ?? suspicion)];
  return shown.some((each, at) => each !== pair[at]) ? shown : pair;
}

/** What an option of a command, as `--password`, says of the argument behind it. */
function ofOption(before: unknown): Suspicion | undefined {
  return typeof before === 'string' && before.startsWith('--') ? suspicionOf(before) : undefined;
}

function hideInObject(value: object, suspicion: Suspicion | undefined): object {
  const entries = Object.entries(value);
  const named = nameIn(entries);
  let changed = false;
  const shown = entries.map(([key, inner]): [string, unknown] => {
    const suspect = (isValue(key) ? named : undefined) ?? suspicionOf(key) ?? suspicion;
    const shownKey = hideCredentialsInText(key);
    const shownInner = hideWithin(inner, suspect);
    changed ||= shownKey !== key || shownInner !== inner;
    return [shownKey, shownInner];
  });
  // Defines each as its own property: `__proto__` is a key like any other.
  return changed ? Object.fromEntries(shown) : value;
}

/** What a name that stands beside a `value` says of it, as in a list of environment variables, tags or headers. */
function nameIn(entries: readonly [string, unknown][]): Suspicion | undefined {
  if (!entries.some(([key]) => isValue(key))) return undefined;
  for (const [key, text] of entries) {
    const said =
      typeof text === 'string' && besideValue.has(key.toLowerCase()) ? suspicionOf(text) : undefined;
    if (said !== undefined) return said;
  }
  return undefined;
}

const besideValue = new Set([
  'name',
  'key',
  'id',
  'variable',
  'var',
  'header',
  'field',
  'parameter',
  'param',
]);
const isValue = (key: string): boolean => /^val(?:ue)?$/i.test(key);

// No expression below takes longer than the text is long: each attempt begins at a literal or behind what its own class
// does not hold, and goes no further than a bound, or to where the next attempt can begin.

/** RFC 3986, 3.2.1. The second form is a password that holds a character which should have been escaped. */
const userInformation = /:\/\/(?:[^\s/?#]*@|[^\s:/?#[]{0,256}:(?!\d{0,5}(?:[/?#\s]|$))\S{1,256}@)/g;
/** RFC 7515, 7.1 and RFC 7516, 7.1: a JSON header in base64url, and two to four parts more. */
const jsonWebToken = /(?<![\w-])eyJ[\w-]{8,}(?:\.[\w-]*){2,4}/g;
/** RFC 6750, 2.1 and RFC 7617, 2. */
const authorization = /\b(bearer|basic)(\s{1,8})([\w.~+/-]+=*)/gi;
/** RFC 7468, and PGP's. One that is cut off is hidden to the end of the text. */
const privateKey =
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)/g;
/**
 * `password=…` in a query or a connection string, and `"password": "…"` in JSON or, in single quotes, in what Python
 * prints, by the 64 characters before it.
 */
const assignment =
  /(?=[="'])(?<=([\w.-]{1,64}))(=["']?|"\s{0,8}:\s{0,8}"|'\s{0,8}:\s{0,8}')((?<=")(?:[^"\\]+|\\[\s\S])+|(?<=')[^']+|(?<==)[^\s&;,"']+)/g;
/**
 * Keys that say by their beginning whose they are. Source: the rules of gitleaks
 * (https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml), with lengths as lower bounds.
 */
const prefixed = new RegExp(
  `(?<![A-Za-z0-9])(?:${[
    // OpenAI, Anthropic and those who write theirs alike; a name such as sk-learn has no digit.
    /sk-(?=[\w-]{0,60}\d)[\w-]{16,}/,
    // GitHub, GitLab, npm, PyPI, Docker.
    /gh[opsur]_[A-Za-z0-9]{20,}/,
    /github_pat_\w{20,}/,
    /gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas|imt|ffct)-[\w-]{16,}/,
    /npm_[A-Za-z0-9]{30,}/,
    /pypi-[\w-]{50,}/,
    /dckr_pat_[\w-]{20,}/,
    // Slack.
    /xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}/,
    /xapp-\d-[A-Za-z0-9-]{10,}/,
    /hooks\.slack\.com\/(?:services|workflows|triggers)\/[\w/+-]{20,}/,
    // AWS, Google, DigitalOcean, Databricks, Vault.
    /(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}(?![A-Z0-9])/,
    /AIza[\w-]{35}/,
    /GOCSPX-[\w-]{20,}/,
    /ya29\.[\w-]{20,}/,
    /do[opr]_v1_[a-f0-9]{40,}/,
    /dapi[a-f0-9]{32}/,
    /hv[bsr]\.[\w-]{20,}/,
    // Hugging Face, Groq, xAI, Replicate, Perplexity, NVIDIA, LangSmith, Pinecone.
    /hf_[A-Za-z0-9]{30,}/,
    /gsk_[A-Za-z0-9]{20,}/,
    /xai-[A-Za-z0-9]{40,}/,
    /r8_[A-Za-z0-9]{30,}/,
    /pplx-[A-Za-z0-9]{40,}/,
    /nvapi-[\w-]{40,}/,
    /lsv2_(?:pt|sk)_[A-Za-z0-9_]{32,}/,
    /pcsk_\w{30,}/,
    // Stripe, SendGrid, Shopify, age.
    /(?:sk|rk)_(?:test|live|prod)_[A-Za-z0-9]{10,}/,
    /whsec_[A-Za-z0-9+/]{20,}/,
    /SG\.[\w-]{16,}\.[\w-]{16,}/,
    /shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}/,
    /AGE-SECRET-KEY-1[A-Z0-9]{58}/,
  ]
    .map((each) => each.source)
    .join('|')})`,
  'g',
);
/** Shorter than any credential that can be told by its form. */
const shortest = 7;

/**
 * A text without what looks like a credential by its form: user information in a URL, JSON Web Tokens, `Bearer …` and
 * `Basic …`, private keys, keys that begin as a provider's do, `password=…`. The rest of it stays.
 */
export function hideCredentialsInText(text: string): string {
  if (text.length < shortest) return text;
  return text
    .replace(privateKey, hidden)
    .replace(userInformation, `://${hidden}@`)
    .replace(jsonWebToken, hidden)
    .replace(prefixed, hidden)
    .replace(authorization, (found: string, scheme: string, space: string, value: string) =>
      isAuthorization(scheme, value, found === text) ? `${scheme}${space}${hidden}` : found,
    )
    .replace(assignment, (found: string, name: string, sign: string, value: string) =>
      suspicionOf(name) === undefined || value.startsWith(hidden) ? found : `${sign}${hidden}`,
    );
}

/** People write of a bearer of news and of basic training. */
function isAuthorization(scheme: string, value: string, isWhole: boolean): boolean {
  if (scheme.toLowerCase() === 'bearer')
    return isWhole || value.length > 20 || !/^[A-Za-z]?[a-z-]*[.]?$/.test(value);
  const decoded = Buffer.from(value, 'base64').toString('latin1');
  return /^[\x20-\x7e\x80-\xff]*:/.test(decoded);
}
