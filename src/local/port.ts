// Whether the address that the controller is to listen on can be had, in words for a person.
import { createServer } from 'node:net';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Resolves to nothing when the address is free, else to one line that says what is wrong and what to do. */
export function requireFreePort({ host, port }: Address): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(
        error.code === 'EADDRINUSE'
          ? takenPortLine({ host, port })
          : `Port ${port} on ${host} cannot be listened on (${error.code}): choose others with PORT and HOST`,
      );
    });
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}

export function takenPortLine({ host, port }: Address): string {
  const other = port < 65_535 ? port + 1 : port - 1;
  return `Port ${port} on ${host} is already in use: stop what uses it or choose another, for example PORT=${other} npm start`;
}
