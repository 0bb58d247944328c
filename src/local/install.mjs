// Brings node_modules in line with package-lock.json before a script runs; on any Node from 18, with no package yet.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const project = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const modules = join(project, 'node_modules');
const lockText = readFileSync(join(project, 'package-lock.json'), 'utf8');
const fingerprint = createHash('sha256').update(lockText).digest('hex');
const marker = join(modules, '.moolai-controller-installed');
const nodeProgram = join(modules, '.bin', 'node');
// Not in node_modules, which npm ci removes.
const busyFile = join(project, '.local', 'installing');

// A production install (npm ci --omit=dev) is as it should be, and may be in use.
if (process.env.NODE_ENV !== 'production' && !isInstalled()) process.exitCode = await installOnce();

/** Whether all is there: by our marker, or, where someone ran npm by hand, by npm's own record of what it put there. */
function isInstalled() {
  if (!existsSync(nodeProgram)) return false;
  if (read(marker) === fingerprint) return true;
  if (!matchesRecord()) return false;
  writeFileSync(marker, fingerprint);
  return true;
}

function matchesRecord() {
  const record = read(join(modules, '.package-lock.json'));
  if (record === '') return false;
  const installed = JSON.parse(record).packages;
  const wanted = JSON.parse(lockText).packages;
  const same = (path) =>
    installed[path]?.version === wanted[path]?.version &&
    installed[path]?.integrity === wanted[path]?.integrity;
  const lacksNone = Object.keys(wanted).every((path) => path === '' || wanted[path].optional || same(path));
  return lacksNone && Object.keys(installed).every(same);
}

/** Of several scripts that start at once, one installs and the others wait for it. */
async function installOnce() {
  mkdirSync(dirname(busyFile), { recursive: true });
  const mine = `${busyFile}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  try {
    for (let announced = false; !taken(mine); announced = true) {
      const holder = Number(read(busyFile));
      if (!isAlive(holder)) removeStale(holder);
      else if (!announced) console.log(`  Waiting for process ${holder}, which installs the packages …`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  } finally {
    rmSync(mine, { force: true });
  }
  try {
    return isInstalled() ? 0 : await runNpm();
  } finally {
    rmSync(busyFile, { force: true });
  }
}

function taken(mine) {
  try {
    linkSync(mine, busyFile);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Moved aside first: of two that find it stale, one gets it, and a lock taken meanwhile is put back. */
function removeStale(holder) {
  const aside = `${busyFile}.stale.${process.pid}`;
  try {
    renameSync(busyFile, aside);
    if (Number(read(aside)) !== holder) linkSync(aside, busyFile);
  } catch {
    // Someone else was first.
  }
  rmSync(aside, { force: true });
}

async function runNpm() {
  const startedAt = Date.now();
  const stopProgress = showProgress(startedAt);
  const { code, signal, output } = await npmCi();
  stopProgress();
  const seconds = Math.round((Date.now() - startedAt) / 1000);
  if (code === 0 && existsSync(nodeProgram)) {
    writeFileSync(marker, fingerprint);
    console.log(`  ✔ Packages installed (${seconds} s)`);
    return 0;
  }
  if (signal) {
    console.error(`  ✘ Stopped by ${signal} while installing packages; the next start begins anew`);
    return 1;
  }
  console.error(`  ✘ The packages could not be installed (npm ci, ${seconds} s):\n`);
  console.error(telling(output));
  if (code === 0) {
    console.error(
      '    node_modules/.bin/node is missing. Are install scripts or optional packages switched off in .npmrc?',
    );
  }
  return code || 1;
}

/** Development packages are what runs this project locally, whatever NODE_ENV or omit says. */
function npmCi() {
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  // npm's own Node, as the one in node_modules is about to be removed.
  const node = process.env.npm_node_execpath ?? process.execPath;
  return new Promise((resolve) => {
    const child = npm
      ? spawn(node, [npm, ...args], { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] })
      : spawn('npm', args, { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const collect = (chunk) => {
      output += chunk;
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    // npm passes a signal on to this script alone.
    let passed;
    const pass = (signal) => {
      passed = signal;
      child.kill(signal);
      // It finishes an install script before it heeds a signal.
      setTimeout(() => child.kill('SIGKILL'), 1_500).unref();
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, pass);
    child.on('error', (error) => resolve({ code: 1, output: error.message }));
    child.on('close', (code, signal) => {
      for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeListener(name, pass);
      resolve({ code: code ?? 1, signal: passed ?? signal, output });
    });
  });
}

/** What npm says first names the cause, what it says last names its log; the help between them buries both. */
function telling(output) {
  const lines = output
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`);
  return (lines.length <= 24 ? lines : [...lines.slice(0, 16), '    …', ...lines.slice(-3)]).join('\n');
}

function showProgress(startedAt) {
  const text = () => `  Installing packages … ${Math.round((Date.now() - startedAt) / 1000)} s`;
  const { isTTY } = process.stdout;
  if (!isTTY) console.log('  Installing packages (npm ci) …');
  const timer = setInterval(
    () => (isTTY ? process.stdout.write(`\r${text()}`) : console.log(text())),
    isTTY ? 250 : 15_000,
  );
  return () => {
    clearInterval(timer);
    if (isTTY) process.stdout.write('\r\x1b[K');
  };
}

function isAlive(pid) {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
