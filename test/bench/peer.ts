// Owns the peers: servers in processes of their own that do a contest's work in another way.
import { z } from 'zod';
import { type Forked, startForked } from './forked.ts';

const readySchema = z.object({ url: z.url() });

export interface Peer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  readonly ask: Forked<unknown>['ask'];
}

/** @param name of a file in peers/ */
export async function openPeer(name: string, options: object): Promise<Peer> {
  const child = await startForked(`peers/${name}.ts`, options, readySchema);
  return {
    url: child.ready.url,
    pid: child.pid,
    ask: child.ask,
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}
