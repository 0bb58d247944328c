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

/** Answers with the error envelope, and closes the connection. */
export function answerClientErrors(server: Server, clock: Clock): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const { status, code, message } = refusals[error.code ?? ''] ?? malformed;
    const envelope: ErrorEnvelope = {
      success: false,
      message,
      code,
      timestamp: new Date(clock.now()).toISOString(),
    };
    const body = JSON.stringify(envelope);
    socket.end(
      `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
}
