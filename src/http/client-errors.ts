// Owns the answer to what is not HTTP, or too much of it: such a request never comes as far as a route.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import type { ErrorEnvelope } from './errors.ts';

interface Refusal {
  status: string;
  code: string;
  message: string;
}

const refusals: Record<string, Refusal> = {
  HPE_HEADER_OVERFLOW: {
    status: '431 Request Header Fields Too Large',
    code: 'headers_too_large',
    message: 'The headers of the request are too large',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: '408 Request Timeout',
    code: 'request_timeout',
    message: 'The request did not arrive in time',
  },
};
const malformed: Refusal = {
  status: '400 Bad Request',
  code: 'invalid_request',
  message: 'The request is not well-formed HTTP',
};

const unmetExpectation = { code: 'expectation_failed', message: 'Nothing but 100-continue can be expected' };

/** Answers with the error envelope, and closes the connection. */
export function answerClientErrors(server: Server, clock: Clock): void {
  const envelopeOf = ({ code, message }: Pick<Refusal, 'code' | 'message'>): ErrorEnvelope => ({
    success: false,
    message,
    code,
    timestamp: new Date(clock.now()).toISOString(),
  });
  server.on('checkExpectation', (_request, response) => {
    const body = JSON.stringify(envelopeOf(unmetExpectation));
    response.writeHead(417, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': Buffer.byteLength(body),
      Connection: 'close',
    });
    response.end(body);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const refusal = refusals[error.code ?? ''] ?? malformed;
    const { status } = refusal;
    const body = JSON.stringify(envelopeOf(refusal));
    socket.end(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
}
