// Owns a connection over which HTTP is called at next to no cost for its process: HTTP/1.1 by hand, one call at a time.
import { once } from 'node:events';
import { connect } from 'node:net';

export interface Answer {
  readonly status: 200 | 304;
  /** Its ETag. */
  readonly tag: string | undefined;
  /** Of its body, in bytes. A 304 has none. */
  readonly length: number;
}

/** All calls reject where the answer is neither a 304 nor a 200 with a Content-Length, or is not there to its end. */
export interface Caller {
  /** Reads the answer to its end, and keeps nothing of its body. */
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** Posts JSON and resolves to the body that is answered. */
  post(path: string, json: string): Promise<string>;
  close(): void;
}

interface Call {
  readonly keepsBody: boolean;
  readonly outcome: PromiseWithResolvers<{ answer: Answer; body: string }>;
}

/** A head that is as long is none. */
const longestHead = 8_192;
const endOfHead = '\r\n\r\n';
const contentLength = /\r\ncontent-length: *(\d+)/i;
const entityTag = /\r\netag: *([^\r]+)/i;
/** Of all connections: what was read is done with before anything else is read. */
const read = Buffer.alloc(262_144);

/** @param url of HTTP; its path is not looked at */
export async function openCaller(url: string): Promise<Caller> {
  const { hostname, port, host } = new URL(url);
  let call: Call | undefined;
  let head = '';
  let answer: Answer | undefined;
  let body = '';
  let awaited = 0;

  const socket = connect({
    host: hostname,
    port: Number(port),
    noDelay: true,
    onread: {
      buffer: read,
      callback(count) {
        try {
          take(count);
        } catch (error) {
          socket.destroy(error instanceof Error ? error : new Error(String(error)));
        }
        return true;
      },
    },
  });
  await once(socket, 'connect');
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the connection was closed')));

  /** @throws for what is no answer that a caller can do with */
  function take(count: number): void {
    const bodyAt = answer === undefined ? takeHead(count) : 0;
    if (answer === undefined) return;
    awaited -= count - bodyAt;
    if (awaited < 0) throw new Error(`answered ${-awaited} bytes more than were announced`);
    if (call?.keepsBody === true) body += read.toString('latin1', bodyAt, count);
    if (awaited > 0) return;
    const done = { answer, body };
    const answered = call;
    [call, head, answer, body] = [undefined, '', undefined, ''];
    answered?.outcome.resolve(done);
  }

  /** @returns where the body begins in what was read, once the head is there */
  function takeHead(count: number): number {
    const before = head.length;
    head += read.toString('latin1', 0, Math.min(count, longestHead));
    const end = head.indexOf(endOfHead);
    if (call === undefined || (end === -1 && head.length >= longestHead))
      throw new Error(`answered what is no answer: ${head}`);
    if (end === -1) return 0;
    const fields = head.slice(0, end);
    const [, length] = contentLength.exec(fields) ?? [];
    const [, tag] = entityTag.exec(fields) ?? [];
    if (fields.startsWith('HTTP/1.1 304 ')) answer = { status: 304, tag, length: 0 };
    else if (fields.startsWith('HTTP/1.1 200 ') && length !== undefined)
      answer = { status: 200, tag, length: Number(length) };
    else throw new Error(`answered: ${head}`);
    awaited = answer.length;
    return end + endOfHead.length - before;
  }

  function fail(error: Error): void {
    call?.outcome.reject(error);
    call = undefined;
  }

  function ask(request: string, keepsBody: boolean): Call['outcome']['promise'] {
    const outcome: Call['outcome'] = Promise.withResolvers();
    call = { keepsBody, outcome };
    if (socket.readyState === 'open') socket.write(request);
    else fail(new Error('the connection is closed'));
    return outcome.promise;
  }

  return {
    async get(path, headers = {}) {
      const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      return (await ask(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields.join('')}\r\n`, false)).answer;
    },
    async post(path, json) {
      const fields = `Host: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${json.length}`;
      return (await ask(`POST ${path} HTTP/1.1\r\n${fields}\r\n\r\n${json}`, true)).body;
    },
    close: () => void socket.destroy(),
  };
}
