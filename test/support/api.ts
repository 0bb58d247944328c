// Owns REST calls in tests.

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape, and fail where they differ
  body: any;
}

export interface Api {
  get(path: string): Promise<Answer>;
  post(path: string, body?: unknown): Promise<Answer>;
  put(path: string, body?: unknown): Promise<Answer>;
  delete(path: string): Promise<Answer>;
  /** Anything else: other methods, headers, bodies that are no JSON. */
  request(path: string, init: RequestInit): Promise<Answer>;
}

/** @param token sent with every call */
export function createApi(url: string, token?: string): Api {
  const authorization: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${token}` };

  async function request(path: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(url + path, {
      signal: AbortSignal.timeout(45_000),
      headers: authorization,
      ...init,
    });
    const text = await response.text();
    // An answer to HEAD has its type, and no text.
    const isJson = text !== '' && (response.headers.get('content-type')?.includes('json') ?? false);
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
  }
  const send = (method: string) => (path: string, body?: unknown) =>
    request(path, {
      method,
      ...(body === undefined
        ? {}
        : { headers: { ...authorization, 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
  return { get: send('GET'), post: send('POST'), put: send('PUT'), delete: send('DELETE'), request };
}
