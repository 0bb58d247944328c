// Owns an answer in the error envelope that no middleware sees: what is not HTTP, or is refused before it is read.
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from './clock.ts';

export interface PlainAnswer {
  status: number;
  code: string;
  message: string;
  retryAfterSeconds?: number;
}

/** No page at all: nothing in an answer may be shown as one, run, or framed. */
export const strictPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What every answer says to a browser; the pages among them say more. */
export const plainHeaders: Readonly<Record<string, string>> = {
  'Content-Security-Policy': strictPolicy,
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
};

/** Ends the call and its connection. */
export function answerPlainly(response: ServerResponse, answer: PlainAnswer, clock: Clock): void {
  const { headers, body } = render(answer, clock);
  response.writeHead(answer.status, headers);
  response.end(body);
}

/** How long a connection may stay half open for a client that still sends: cut off earlier, it might not read. */
const lingerMs = 1_000;

/** The same where there is no response: the bytes go to the connection, which is closed behind them. */
export function writePlainly(socket: Duplex, answer: PlainAnswer, clock: Clock): void {
  const { headers, body } = render(answer, clock);
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? 'Error'}\r\n${head.join('')}\r\n${body}`,
  );
  // A peer that never closes its side would hold the connection: no time-out looks after it any more.
  const linger = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(linger));
}

function render(answer: PlainAnswer, clock: Clock): { headers: Record<string, string>; body: string } {
  const { code, message, retryAfterSeconds } = answer;
  const timestamp = new Date(clock.now()).toISOString();
  const body = JSON.stringify({ success: false, message, code, timestamp });
  return {
    headers: {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': String(Buffer.byteLength(body)),
      ...(retryAfterSeconds === undefined ? {} : { 'Retry-After': String(retryAfterSeconds) }),
      ...plainHeaders,
      Connection: 'close',
    },
    body,
  };
}
