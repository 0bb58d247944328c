// The reference orchestrator against the real controller: one of them, a fleet of them, and the command for both.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { startController } from '../../src/controller.ts';
import {
  connectOrchestrator,
  type OrchestratorEvent,
  type OrchestratorOptions,
} from '../../src/local/orchestrator-client.ts';
import type { Frame } from '../../src/local/orchestrator-wire.ts';
import { describeSummary, startFleet } from '../../src/local/simulated-fleet.ts';
import { openProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import { openWorld, type World } from '../support/world.ts';

const command = fileURLToPath(new URL('../../src/local/orchestrator.ts', import.meta.url));

const internal = '/api/v1/internal/orchestrators';
const live = '/api/v1/controller/orchestrators/live';
let world: World;
let url: string;
test.before(async () => {
  world = await openWorld();
  url = world.replica(0).controller.url;
});
test.after.always(() => world.close());

const liveCount = async (organizationId: string) =>
  (await world.api.get(`${live}?organization_id=${organizationId}`)).body.data.total_count;

/** An orchestrator that comes back quickly, and the types of its events. */
function connect(t: ExecutionContext, orchestratorId: string, options: Partial<OrchestratorOptions> = {}) {
  const events: OrchestratorEvent['type'][] = [];
  const orchestrator = connectOrchestrator({
    url,
    orchestratorId,
    backoff: { baseMs: 20, capMs: 50 },
    onEvent: ({ type }) => events.push(type),
    ...options,
  });
  t.teardown(orchestrator.stop);
  return { orchestrator, events };
}

/** The command as a process of its own, ended with the test. */
function run(t: ExecutionContext, args: string[]) {
  const child: ChildProcessByStdio<null, Readable, Readable> = spawn(process.execPath, [command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const exited = once(child, 'close');
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (text) => (output.stdout += text));
  child.stderr.on('data', (text) => (output.stderr += text));
  return {
    output,
    prints: (text: string) => until(`${text} on stdout`, () => output.stdout.includes(text)),
    interrupt: () => child.kill('SIGINT'),
    exitCode: async () => (await exited)[0],
  };
}

test('a handshake is followed by provisioning and by a beat that is in the database', async (t) => {
  const metadata = { name: 'First', location: 'Bonn' };
  const healthStatus = () => 'degraded' as const;
  const { orchestrator, events } = connect(t, 'first', { organizationId: 'acme', metadata, healthStatus });
  const { status, latencyMs } = await orchestrator.beat();
  t.is(status, 'processed');
  t.true(latencyMs > 0);
  t.deepEqual(events.slice(0, 4), ['connecting', 'connected', 'provisioned', 'beat']);
  const columns = 'organization_id, name, location, health_status';
  const rows = await world.sql(
    `SELECT ${columns} FROM orchestrator_instances WHERE orchestrator_id = 'first'`,
  );
  t.deepEqual(rows, [{ organization_id: 'acme', ...metadata, health_status: 'degraded' }]);
  orchestrator.requestProvisioning();
  await until('provisioning again', () => events.filter((type) => type === 'provisioned').length === 2);
});

test('a beat of an independent orchestrator is acknowledged as ignored', async (t) => {
  const { orchestrator } = connect(t, 'independent');
  await orchestrator.beat();
  await world.api.put(`${internal}/independent/independence`, { is_independent: true });
  t.is((await orchestrator.beat()).status, 'ignored');
});

test('a frame is handed over and acknowledged with what its handler returns', async (t) => {
  const frames: Frame[] = [];
  const { orchestrator } = connect(t, 'worker', { onFrame: (frame) => ({ nth: frames.push(frame) }) });
  await orchestrator.beat();
  const message = { type: 'task.run', data: { n: 7 }, ack: true };
  const sent = await world.api.post(`${internal}/worker/send`, message);
  t.deepEqual(sent.body.ack, { nth: 1 });
  t.like(frames[0], { type: 'task.run', data: { n: 7 }, message_id: sent.body.message_id });
});

test('a superseded orchestrator stops and leaves the newer one alone', async (t) => {
  const older = connect(t, 'twin');
  await older.orchestrator.beat();
  const newer = connect(t, 'twin');
  await newer.orchestrator.beat();
  t.deepEqual(await older.orchestrator.closed, { why: 'superseded' });
  t.is(older.orchestrator.state, 'stopped');
  t.is((await newer.orchestrator.beat()).status, 'processed');
  t.is(newer.orchestrator.state, 'connected');
});

test('a deregistered orchestrator stops and says so', async (t) => {
  const { orchestrator } = connect(t, 'removed');
  await orchestrator.beat();
  await world.api.delete(`${internal}/removed/deregister`);
  t.like(await orchestrator.closed, { why: 'refused', code: 'deregistered' });
});

test('an orchestrator comes back to a controller that was stopped and started again', async (t) => {
  await using stack = new AsyncDisposableStack();
  const address = stack.adopt(await openProxy(), (it) => it.close());
  const first = await startController(world.settings);
  t.teardown(() => first.stop());
  const { orchestrator, events } = connect(t, 'loyal', { url: address.through(first.url) });
  await orchestrator.beat();
  await first.stop();
  await until('the loss to be noticed', () => orchestrator.state !== 'connected');
  const beat = orchestrator.beat();
  const second = await startController(world.settings);
  t.teardown(() => second.stop());
  address.through(second.url);
  t.is((await beat).status, 'processed');
  t.is(events.filter((type) => type === 'connected').length, 2);
});

test('the summary of a fleet of fifty is right', async (t) => {
  const own = { organizationId: 'fifty', idPrefix: 'sim', count: 50 };
  const fleet = startFleet({ url, ...own, concurrency: 10, heartbeatIntervalMs: 200 });
  t.teardown(fleet.stop);
  await until('all to be connected', () => fleet.summary().connected === 50);
  await until('two beats of each', () => fleet.summary().beatsAcknowledged >= 100);
  t.is(await liveCount('fifty'), 50);
  t.is((await world.api.post(`${internal}/sim-0007/send`, { type: 'hello', ack: true })).status, 200);
  await world.replica(0).connect('sim-0050', { organization_id: 'fifty' });
  await until('one to be superseded', () => fleet.summary().connected === 49);

  const summary = fleet.stop();
  t.like(summary, { count: 50, connected: 49, beatsIgnored: 0, framesReceived: 1, repeatsDropped: 0 });
  t.like(summary, { reconnects: 0, errorsByCode: { superseded: 1 } });
  const { p50Ms = 0, p99Ms = 0 } = summary;
  t.true(p50Ms > 0 && p50Ms <= p99Ms && p99Ms < summary.elapsedMs);
  t.regex(describeSummary(summary), /connected +49 of 50\n.*beats acknowledged +\d+, of which ignored 0\n/);
  await until('the fleet to be gone', async () => (await liveCount('fifty')) === 1);
});

test('the command prints each step and each frame, and ends well on Ctrl-C', async (t) => {
  const { output, prints, interrupt, exitCode } = run(t, ['--id', 'shown', '--name', 'One', '--url', url]);
  await prints('1 processed in');
  const message = { type: 'task.run', data: { n: 7 }, ack: true };
  t.deepEqual((await world.api.post(`${internal}/shown/send`, message)).body.ack, { received: true });
  interrupt();
  t.is(await exitCode(), 0);
  t.regex(output.stdout, /connecting +to .*\n.*handshake_ack +\{.*\n.*provision_config +\{.*"name":"One"/);
  t.regex(
    output.stdout,
    /\d\d:\d\d:\d\d\.\d{3} {2}task\.run +\{"type":"task\.run","data":\{"n":7\},"message_id":"msg_/,
  );
  t.true(
    output.stdout.endsWith(
      'shown: 1 beats acknowledged, 1 frames received, 0 repeats dropped, 0 reconnects\n',
    ),
  );
  t.is(output.stderr, '');
});

test('the command with a count runs a fleet and sums it up', async (t) => {
  const fleet = ['--count', '20', '--id', 'demo', '--organization', 'twenty'];
  const { output, interrupt, exitCode } = run(t, [...fleet, '--url', url]);
  await until('the fleet to be live', async () => (await liveCount('twenty')) === 20);
  interrupt();
  t.is(await exitCode(), 0);
  t.regex(output.stdout, /^Fleet of 20, \d+\.\d s\n {2}connected +\d+ of 20\n/m);
  t.regex(output.stdout, /errors +none\n$/);
});

test('the command has so many of a fleet connect at once as it is told', async (t) => {
  await using stack = new AsyncDisposableStack();
  const own = stack.adopt(await openWorld(), (it) => it.close());
  const held = stack.use(await own.hold('LOCK TABLE orchestrator_instances'));
  const metric = async (line: string) => (await own.api.get('/metrics')).body.includes(`\n${line}\n`);
  const fleet = ['--count', '9', '--concurrency', '7', '--url', own.replica(0).controller.url];
  const { interrupt, exitCode } = run(t, fleet);
  await until('seven to wait for their handshakes', () => metric('moolai_handshakes_waiting 7'));
  await held.release();
  await until('all to be connected', () => metric('moolai_connections 9'));
  interrupt();
  t.is(await exitCode(), 0);
});

test('the command says that the controller is out of reach, tries again, and ends after so many seconds', async (t) => {
  // Nobody may listen there but root, and nobody does.
  const { output, exitCode } = run(t, ['--id', 'lost', '--seconds', '3', '--url', 'http://127.0.0.1:1']);
  t.is(await exitCode(), 0);
  t.regex(output.stdout, /unreachable +.*ECONNREFUSED.*; trying again in \d\.\d s\n/);
});

test('a fleet of which nobody got in says why, and ends badly', async (t) => {
  const fleet = ['--count', '3', '--id', 'nowhere', '--seconds', '3', '--url', 'http://127.0.0.1:1'];
  const { output, exitCode } = run(t, fleet);
  t.is(await exitCode(), 1);
  t.regex(output.stdout, /connected +0 of 3\n/);
  t.regex(output.stdout, /errors +unreachable \d+\n {2}last error +.*ECONNREFUSED/);
});

test('the command explains itself, and what is wrong with its flags', async (t) => {
  const help = run(t, ['--help']);
  t.is(await help.exitCode(), 0);
  t.regex(help.output.stdout, /^Usage: npm run orchestrator -- --id ID/);
  const unknown = run(t, ['--idd', 'x']);
  t.is(await unknown.exitCode(), 2);
  t.regex(unknown.output.stderr, /^Unknown option '--idd'.*\n\nUsage: /s);
  const bad = run(t, ['--id', '../x', '--count', 'many', '--concurrency', '0', '--url', 'nowhere']);
  t.is(await bad.exitCode(), 2);
  t.regex(bad.output.stderr, /^--id: .*\n--count: must be a number\n--concurrency: .*\n--url: .*\n\nUsage: /);
});
