// What the packages may do, and which they are.
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { z } from 'zod';

const read = async (name: string) => readFile(new URL(`../${name}`, import.meta.url), 'utf8');
const manifest = z
  .object({
    dependencies: z.record(z.string(), z.string()),
    devDependencies: z.record(z.string(), z.string()),
    allowScripts: z.record(z.string(), z.boolean()),
  })
  .parse(JSON.parse(await read('package.json')));
const lock = z
  .object({
    packages: z.record(
      z.string(),
      z.object({
        hasInstallScript: z.boolean().optional(),
        resolved: z.string().optional(),
        integrity: z.string().optional(),
        optional: z.boolean().optional(),
      }),
    ),
  })
  .parse(JSON.parse(await read('package-lock.json')));
const locked = Object.entries(lock.packages).filter(([path]) => path !== '');

test('every install script is allowed or denied by name, and an unknown one fails the install', async (t) => {
  const withScripts = locked.filter(([, entry]) => entry.hasInstallScript === true);
  const names = withScripts.map(([path]) => path.replace(/^.*node_modules\//, ''));
  t.deepEqual([...new Set(names)].sort(), Object.keys(manifest.allowScripts).sort());
  t.regex(await read('.npmrc'), /^strict-allow-scripts=true$/m);
});

test('every package is what the lock file knows, and from the registry', (t) => {
  for (const [path, { resolved, integrity, optional }] of locked) {
    // Without an address it is the registry’s.
    t.is(resolved, undefined, path);
    // Of what is for another platform alone the hash need not be known.
    if (optional !== true) t.regex(integrity ?? '', /^sha512-/, path);
  }
});

test('what is depended on is of one version', (t) => {
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }))
    t.regex(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, name);
});
