import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const root = fileURLToPath(new URL('../../', import.meta.url));

function run(command: string, ...flags: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...flags], {
    cwd: root,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

const commands = {
  bench: 'test/bench/bench.ts',
  campaign: 'test/campaign/campaign.ts',
  chaos: 'test/chaos/chaos.ts',
  growth: 'test/bench/growth.ts',
  sizing: 'test/bench/sizing.ts',
};

for (const [name, command] of Object.entries(commands)) {
  test(`npm run ${name} explains itself, and what is wrong with its flags`, (t) => {
    const help = run(command, '--help');
    t.is(help.status, 0, help.stderr);
    t.true(help.stdout.startsWith(`Usage: npm run ${name} -- [`), help.stdout);
    const unknown = run(command, '--wrong', '1');
    t.is(unknown.status, 2);
    t.true(unknown.stderr.startsWith(`Unknown option '--wrong'\n\n${help.stdout}`), unknown.stderr);
  });
}

test('each fault of a flag is a line of its own, and nothing is begun', (t) => {
  const bad = run(commands.chaos, '--minutes', 'x', '--seed=-1');
  t.is(bad.status, 2);
  t.regex(bad.stderr, /^--minutes: must be a number\n--seed: .*\n\nUsage: /);
  t.is(bad.stdout, '');
});

test('a contest that there is none of is named, beside those that there are', (t) => {
  const bad = run(commands.bench, 'logs', 'heartbeat');
  t.is(bad.status, 2);
  t.regex(bad.stderr, /^There is no contest heartbeat, only heartbeats, .*\n\nUsage: /);
});
