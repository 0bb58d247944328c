// Owns telling a person that Redis's certificate is not trusted, and what to do about it: that does not pass by itself.
import { connect } from 'node:tls';
import type { RedisNode } from './address.ts';

/** The same failure; where a certificate is the reason, in words that say so. */
export function explained(error: Error): Error {
  if (!/certificate|altnames/i.test(error.message)) return error;
  return new Error(
    `its certificate is not trusted (${error.message}): NODE_EXTRA_CA_CERTS names a file with the authority to trust`,
    { cause: error },
  );
}

/** Why TLS to a server cannot be had; undefined if it can, or if nothing is said in time. Never rejects. */
export function faultOfTls(node: RedisNode, withinMs: number): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ ...node });
    const end = (fault?: Error) => {
      socket.destroy();
      resolve(fault);
    };
    socket.setTimeout(withinMs, end);
    socket.once('secureConnect', () => end());
    socket.on('error', end);
  });
}
