// The hook that installs packages before a script runs, with a stand-in for npm that records its calls.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';

const hook = fileURLToPath(new URL('../../src/local/install.mjs', import.meta.url));
const packages = { 'node_modules/a': { version: '1.0.0', integrity: 'x' } };

test('missing packages are installed once, and then never again', async (t) => {
  const project = await createProject(t);
  const first = await run(project);
  t.is(first.code, 0);
  t.regex(first.output, /Installing packages \(npm ci\) …\n {2}✔ Packages installed \(\d+ s\)\n$/);
  t.deepEqual(await run(project), { code: 0, output: '' });
  t.is(await npmCalls(project), 1);
});

test('a changed lock file is installed', async (t) => {
  const project = await createProject(t);
  await run(project);
  await writeLock(project, { ...packages, 'node_modules/b': { version: '1.0.0', integrity: 'y' } });
  await run(project);
  t.is(await npmCalls(project), 2);
});

test('of two scripts that start at once one installs, and both go on', async (t) => {
  const project = await createProject(t);
  const [one, other] = await Promise.all([run(project), run(project)]);
  t.deepEqual([one.code, other.code], [0, 0]);
  t.is(await npmCalls(project), 1);
});

test('what someone installed by hand is not installed again', async (t) => {
  const project = await createProject(t);
  await mkdir(join(project, 'node_modules/.bin'), { recursive: true });
  await writeFile(join(project, 'node_modules/.bin/node'), '');
  await writeFile(join(project, 'node_modules/.package-lock.json'), JSON.stringify({ packages }));
  t.deepEqual(await run(project), { code: 0, output: '' });
  t.is(await npmCalls(project), 0);
});

test('the lock of an installation that died is not waited for', async (t) => {
  const project = await createProject(t);
  const dead = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(dead, 'exit');
  await mkdir(join(project, '.local'));
  await writeFile(join(project, '.local/installing'), String(dead.pid));
  t.is((await run(project)).code, 0);
  t.is(await npmCalls(project), 1);
});

test('a failure shows what npm said, and the next start tries again', async (t) => {
  const project = await createProject(t, "console.error('npm error no such package'); process.exit(3);");
  const { code, output } = await run(project);
  t.is(code, 3);
  t.regex(
    output,
    /✘ The packages could not be installed \(npm ci, \d+ s\):\n\n {4}npm error no such package\n$/,
  );
  await run(project);
  t.is(await npmCalls(project), 2);
});

/** A project of a lock file and the hook; its npm makes what the hook looks for unless told otherwise. */
async function createProject(
  t: ExecutionContext,
  npm = "mkdirSync('node_modules/.bin', { recursive: true }); writeFileSync('node_modules/.bin/node', '');",
): Promise<string> {
  const project = await mkdtemp(join(tmpdir(), 'moolai-install-'));
  t.teardown(() => rm(project, { recursive: true, force: true }));
  await mkdir(join(project, 'src/local'), { recursive: true });
  await copyFile(hook, join(project, 'src/local/install.mjs'));
  await writeLock(project, packages);
  await writeFile(
    join(project, 'npm.mjs'),
    `import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'; appendFileSync('calls', '.'); ${npm}`,
  );
  return project;
}

async function writeLock(project: string, locked: object): Promise<void> {
  await writeFile(join(project, 'package-lock.json'), JSON.stringify({ packages: { '': {}, ...locked } }));
}

async function run(project: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [join(project, 'src/local/install.mjs')], {
    env: { npm_execpath: join(project, 'npm.mjs'), npm_node_execpath: process.execPath },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  await once(child, 'close');
  return { code: child.exitCode, output };
}

async function npmCalls(project: string): Promise<number> {
  return (await readFile(join(project, 'calls'), 'utf8').catch(() => '')).length;
}
