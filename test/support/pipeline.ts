// Owns posting many bodies on one connection, none waiting for another's answer: their order is that of the list.
import { once } from 'node:events';
import { connect } from 'node:net';
import { until } from './until.ts';

/**
 * @returns the status codes, in the order of the bodies
 * @throws when the connection ends before the last, or they take longer than `withinMs`
 */
export async function postAtOnce(
  url: string,
  path: string,
  bodies: readonly unknown[],
  withinMs?: number,
): Promise<number[]> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let answers = '';
  let failure: Error | undefined;
  socket.setEncoding('utf8').on('data', (text: string) => {
    answers += text;
  });
  await once(socket, 'connect');
  socket.on('error', (error) => {
    failure = error;
  });
  socket.on('close', () => {
    failure ??= new Error('the connection was closed');
  });
  for (const body of bodies) {
    const json = JSON.stringify(body);
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`,
    );
  }
  try {
    const outcome = await until(
      `${bodies.length} answers`,
      () => {
        const codes = [...answers.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
        return codes.length === bodies.length ? codes : failure;
      },
      withinMs,
    );
    if (outcome instanceof Error) throw outcome;
    return outcome;
  } finally {
    socket.destroy();
  }
}
