// Owns HTTP as bytes: a request goes out exactly as it is written, whatever a client's library would say to it.
import { connect, type Socket } from 'node:net';

export interface Request {
  readonly method: string;
  /** As in the request line: the path and the query, encoded by whoever wrote it. */
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string | undefined;
}

export interface Response {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface Wire {
  /**
   * Sends one request over a connection that is kept for the next.
   * @throws when no whole response comes
   */
  send(request: Request): Promise<Response>;
  /** Sends text over a connection of its own, ends it, and returns every response until the peer has ended it too. */
  sendText(text: string): Promise<Response[]>;
  close(): void;
}

const answerWithinMs = 10_000;

export function openWire(url: string): Wire {
  const { hostname, port, host } = new URL(url);
  let kept: Connection | undefined;

  return {
    async send(request) {
      if (kept === undefined || kept.ended) kept = openConnection(hostname, Number(port));
      const connection = kept;
      connection.write(textOf(request, host));
      const response = await connection.next(request.method === 'HEAD');
      // Behind an upgrade that it has not made, Node leaves what is no HTTP unanswered.
      const asked = request.headers.some(([name]) => name === 'Upgrade');
      if (asked || response.headers.get('connection') === 'close') {
        connection.end();
        kept = undefined;
      }
      return response;
    },
    async sendText(text) {
      const connection = openConnection(hostname, Number(port));
      connection.write(Buffer.from(text, 'latin1'));
      connection.end();
      const responses: Response[] = [];
      for (;;) {
        const response = await connection.next(false, { orEnd: true });
        if (response === undefined) return responses;
        responses.push(response);
      }
    },
    close: () => kept?.destroy(),
  };
}

export function textOf({ method, target, headers, body }: Request, host: string): Buffer {
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const given = new Set(headers.map(([name]) => name.toLowerCase()));
  const all = [
    ...(given.has('host') ? [] : [['Host', host]]),
    ...headers,
    ...(bytes === undefined ? [] : [['Content-Length', String(bytes.length)]]),
  ];
  const head = `${method} ${target} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes ?? Buffer.alloc(0)]);
}

interface Connection {
  readonly ended: boolean;
  write(bytes: Buffer): void;
  /** Half of it: what the peer still has to say is read. */
  end(): void;
  destroy(): void;
  /** The next response. @throws when the peer ends before it is whole */
  next(withoutBody: boolean): Promise<Response>;
  next(withoutBody: boolean, how: { orEnd: true }): Promise<Response | undefined>;
}

function openConnection(host: string, port: number): Connection {
  const socket: Socket = connect({ host, port, allowHalfOpen: true });
  socket.setNoDelay(true);
  let buffer: Buffer = Buffer.alloc(0);
  let ended = false;
  let failure: Error | undefined;
  let wake: () => void = () => undefined;
  socket.on('data', (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk]);
    wake();
  });
  for (const event of ['end', 'close'] as const)
    socket.on(event, () => {
      ended = true;
      wake();
    });
  socket.on('error', (error) => {
    failure = error;
    ended = true;
    wake();
  });
  const cut = (length: number): Buffer => {
    const part = buffer.subarray(0, length);
    buffer = buffer.subarray(length);
    return part;
  };

  async function next(withoutBody: boolean, { orEnd = false } = {}): Promise<Response | undefined> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      wake();
    }, answerWithinMs);
    try {
      for (;;) {
        const found = parse(buffer, withoutBody, ended);
        if (found !== undefined) {
          cut(found.length);
          if (found.response.status >= 200) return found.response;
          continue;
        }
        if (late) throw new Error(`no whole response within ${answerWithinMs} ms`);
        if (ended) {
          socket.destroy();
          if (orEnd && buffer.length === 0) return undefined;
          const seen = buffer.subarray(0, 200).toString('latin1');
          throw new Error(
            `the connection ended (${failure?.message}) without a whole response, after ${JSON.stringify(seen)}`,
            {
              cause: failure,
            },
          );
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    get ended() {
      return ended;
    },
    write: (bytes) => void socket.write(bytes),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    next: next as Connection['next'],
  };
}

/** The first response in these bytes, if it is whole. Source: RFC 9112, 6.3. */
function parse(
  bytes: Buffer,
  withoutBody: boolean,
  ended: boolean,
): { response: Response; length: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [statusLine = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]);
  if (Number.isNaN(status)) throw new Error(`no status line: ${JSON.stringify(statusLine.slice(0, 100))}`);
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const from = headEnd + 4;
  const isBare = withoutBody || status < 200 || status === 204 || status === 304;
  if (!isBare && headers.get('transfer-encoding') === 'chunked') {
    const chunks = readChunks(bytes, from);
    return chunks && { response: { status, headers, body: chunks.body }, length: chunks.to };
  }
  const declared = headers.get('content-length');
  if (!isBare && declared === undefined && !ended) return undefined;
  const to = isBare ? from : declared === undefined ? bytes.length : from + Number(declared);
  if (bytes.length < to) return undefined;
  return { response: { status, headers, body: bytes.subarray(from, to).toString() }, length: to };
}

/** A body in chunks without a trailer. Source: RFC 9112, 7.1. */
function readChunks(bytes: Buffer, from: number): { body: string; to: number } | undefined {
  const chunks: Buffer[] = [];
  for (let at = from; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.subarray(at, lineEnd).toString('latin1'), 16);
    const to = lineEnd + 2 + size + 2;
    if (bytes.length < to) return undefined;
    if (size === 0) return { body: Buffer.concat(chunks).toString(), to };
    chunks.push(bytes.subarray(lineEnd + 2, to - 2));
    at = to;
  }
}

/** The same request for a person's terminal. */
export function asCurl({ method, target, headers, body }: Request, url: string): string {
  const quoted = (text: string) => {
    if (/^[\x20-\x7e]*$/.test(text) && !text.includes("'")) return `'${text}'`;
    const bytes = [...Buffer.from(text)].map((byte) =>
      byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, '0')}`,
    );
    return `$'${bytes.join('')}'`;
  };
  const shown = (text: string) =>
    text.length <= 4_000
      ? quoted(text)
      : `${quoted(text.slice(0, 500))} # and so on: ${text.length} characters`;
  return [
    `curl -i -X ${quoted(method)} --path-as-is --globoff ${quoted(url + target)}`,
    ...headers.map(([name, value]) => `-H ${shown(value === '' ? `${name};` : `${name}: ${value}`)}`),
    ...(body === undefined ? [] : [`--data-binary ${shown(body)}`]),
  ].join(' ');
}
