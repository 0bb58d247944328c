// Finds a server's program on this machine, or installs it with the system's package manager.
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { indent } from './server-process.ts';

/** A program that the system's packages bring. */
export interface SystemProgram {
  /** What a person calls it. */
  readonly name: string;
  /** Any of these will do; the first is what the packages install. */
  readonly commands: readonly [string, ...string[]];
  /** Debian's package; the service that it would start is called the same. */
  readonly aptPackage: string;
  readonly brewFormula: string;
  /** One line for a person: what to do where it cannot be installed. */
  readonly advice: string;
}

const policyMark = '# Temporary, by the Moolai Controller';

/**
 * Installs a package of Debian's and starts no service. A policy file keeps the package from starting one now, where
 * the machine has no policy of its own; disabling the unit keeps it from the next boot.
 */
const aptScriptOf = ({ aptPackage }: SystemProgram) => `
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ] || grep -qF '${policyMark}' "$policy"; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM HUP
  printf '#!/bin/sh\\n%s\\nexit 101\\n' '${policyMark}: installing must not start a service.' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
# A package list that cannot be refreshed may still do.
apt-get update -q || true
apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 ${aptPackage}
if [ -d /run/systemd/system ]; then
  systemctl disable --now ${aptPackage} || true
else
  # A machine with a policy of its own may have let it start.
  service ${aptPackage} stop || true
fi
`;

export interface InstallOptions {
  readonly onProgress: (line: string) => void;
  /** Ends an installation that is under way. */
  readonly signal: AbortSignal;
}

/** Resolves to the program's path. Rejects with one line that says what to do. */
export async function findProgram(program: SystemProgram, options: InstallOptions): Promise<string> {
  const { name, advice } = program;
  const found = onPath(...program.commands);
  if (found !== undefined) return found;
  const installer = chooseInstaller(program);
  if (installer === undefined) throw new Error(`${name} was not found: ${advice}`);
  await install(program, installer, options);
  const [command] = program.commands;
  const installed = onPath(command);
  if (installed === undefined) {
    throw new Error(`${installer.label} installed no ${command} that PATH names: ${advice}`);
  }
  return installed;
}

interface Installer {
  readonly label: string;
  readonly command: readonly [string, ...string[]];
}

function chooseInstaller(program: SystemProgram): Installer | undefined {
  if (onPath('apt-get') !== undefined) {
    const script: [string, ...string[]] = ['/bin/sh', '-c', aptScriptOf(program)];
    if (process.getuid?.() === 0) return { label: 'apt-get', command: script };
    if (onPath('sudo') !== undefined && spawnSync('sudo', ['-n', 'true']).status === 0) {
      return { label: 'sudo apt-get', command: ['sudo', '-n', ...script] };
    }
  }
  if (onPath('brew') !== undefined)
    return { label: 'Homebrew', command: ['brew', 'install', program.brewFormula] };
  return undefined;
}

async function install(
  { name, advice, commands: [wanted] }: SystemProgram,
  { label, command }: Installer,
  { onProgress, signal }: InstallOptions,
): Promise<void> {
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 1000);
  onProgress(`Installing ${wanted} with ${label}, once for this machine …`);
  const heartbeat = setInterval(() => onProgress(`still installing ${wanted} (${seconds()} s)`), 5_000);
  try {
    const { code, output } = await runToEnd(command, signal);
    if (code !== 0) throw new Error(`${label} could not install ${name}: ${advice}.\n${indent(output, 6)}`);
  } finally {
    clearInterval(heartbeat);
  }
}

function runToEnd(
  [file, ...args]: readonly [string, ...string[]],
  signal: AbortSignal,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    // A group of its own, so that one signal reaches the shell and apt-get; apt itself ignores SIGINT while dpkg
    // works, when to be ended would leave the system's packages broken.
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    const abort = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
      } catch {
        // Ended already, or root's through sudo: then it runs to its end.
      }
    };
    signal.addEventListener('abort', abort, { once: true });
    child.on('error', reject);
    child.on('close', (code) => {
      signal.removeEventListener('abort', abort);
      resolve({ code, output });
    });
  });
}

/** Where Debian keeps servers, which the PATH of an ordinary user leaves out. */
const serverFolders = ['/usr/local/sbin', '/usr/sbin'];

function onPath(...commands: readonly string[]): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...serverFolders];
  return commands
    .flatMap((command) => folders.filter((folder) => folder !== '').map((folder) => join(folder, command)))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
