// Owns the answer to what is not HTTP, or too much of it: such a request never comes as far as a route.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { answerPlainly, type PlainAnswer, writePlainly } from '../plain-answer.ts';

const refusals: Record<string, PlainAnswer> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: 'headers_too_large',
    message: 'The headers of the request are too large',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: 'request_timeout',
    message: 'The request did not arrive in time',
  },
};
const malformed: PlainAnswer = {
  status: 400,
  code: 'invalid_request',
  message: 'The request is not well-formed HTTP',
};
const unmetExpectation: PlainAnswer = {
  status: 417,
  code: 'expectation_failed',
  message: 'Nothing but 100-continue can be expected',
};

/** Answers with the error envelope, and closes the connection. */
export function answerClientErrors(server: Server, clock: Clock): void {
  server.on('checkExpectation', (_request, response) => answerPlainly(response, unmetExpectation, clock));
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    writePlainly(socket, refusals[error.code ?? ''] ?? malformed, clock);
    // What is told to be too late must not be carried out after all.
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') socket.once('finish', () => socket.destroy());
  });
}
