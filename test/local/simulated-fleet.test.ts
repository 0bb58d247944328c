// The reference orchestrator against the real controller: one of them, a fleet of them, and the command for both.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { startController } from '../../src/controller.ts';
import {
  connectOrchestrator,
  type Frame,
  type OrchestratorEvent,
  type OrchestratorOptions,
} from '../../src/local/orchestrator-client.ts';
import { describeSummary, startFleet } from '../../src/local/simulated-fleet.ts';
import { until } from '../support/until.ts';
import { openWorld } from '../support/world.ts';

const command = fileURLToPath(new URL('../../src/local/orchestrator.ts', import.meta.url));

async function openReplica(t: ExecutionContext) {
  const world = await openWorld();
  t.teardown(() => world.close());
  const { url } = world.replica(0).controller;
  return { ...world, url, connect: world.replica(0).connect };
}

/** An orchestrator that comes back quickly, and the types of its events. */
function connect(t: ExecutionContext, options: Partial<OrchestratorOptions> & { url: string }) {
  const events: OrchestratorEvent['type'][] = [];
  const orchestrator = connectOrchestrator({
    orchestratorId: 'org-1',
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
  const { url, sql } = await openReplica(t);
  const metadata = { name: 'First', location: 'Bonn' };
  const healthStatus = () => 'degraded' as const;
  const { orchestrator, events } = connect(t, { url, organizationId: 'acme', metadata, healthStatus });
  const { status, latencyMs } = await orchestrator.beat();
  t.is(status, 'processed');
  t.true(latencyMs > 0);
  t.deepEqual(events.slice(0, 4), ['connecting', 'connected', 'provisioned', 'beat']);
  const rows = await sql('SELECT organization_id, name, location, health_status FROM orchestrator_instances');
  t.deepEqual(rows, [{ organization_id: 'acme', ...metadata, health_status: 'degraded' }]);
  orchestrator.requestProvisioning();
  await until('provisioning again', () => events.filter((type) => type === 'provisioned').length === 2);
});

test('a beat of an independent orchestrator is acknowledged as ignored', async (t) => {
  const { url, api } = await openReplica(t);
  const { orchestrator } = connect(t, { url });
  await orchestrator.beat();
  await api.put('/api/v1/internal/orchestrators/org-1/independence', { is_independent: true });
  t.is((await orchestrator.beat()).status, 'ignored');
});

test('a frame is handed over and acknowledged with what its handler returns', async (t) => {
  const { url, api } = await openReplica(t);
  const frames: Frame[] = [];
  const { orchestrator } = connect(t, { url, onFrame: (frame) => ({ nth: frames.push(frame) }) });
  await orchestrator.beat();
  const message = { type: 'task.run', data: { n: 7 }, ack: true };
  const sent = await api.post('/api/v1/internal/orchestrators/org-1/send', message);
  t.deepEqual(sent.body.ack, { nth: 1 });
  t.like(frames[0], { type: 'task.run', data: { n: 7 }, message_id: sent.body.message_id });
});

test('a superseded orchestrator stops and leaves the newer one alone', async (t) => {
  const { url } = await openReplica(t);
  const older = connect(t, { url });
  await older.orchestrator.beat();
  const newer = connect(t, { url });
  await newer.orchestrator.beat();
  t.deepEqual(await older.orchestrator.closed, { why: 'superseded' });
  t.is(older.orchestrator.state, 'stopped');
  t.is((await newer.orchestrator.beat()).status, 'processed');
  t.is(newer.orchestrator.state, 'connected');
});

test('a deregistered orchestrator stops and says so', async (t) => {
  const { url, api } = await openReplica(t);
  const { orchestrator } = connect(t, { url });
  await orchestrator.beat();
  await api.delete('/api/v1/internal/orchestrators/org-1/deregister');
  t.like(await orchestrator.closed, { why: 'refused', code: 'deregistered' });
});

test('an orchestrator comes back to a controller that was stopped and started again', async (t) => {
  const { settings } = await openReplica(t);
  const first = await startController(settings);
  t.teardown(first.stop);
  const { orchestrator, events } = connect(t, { url: first.url });
  await orchestrator.beat();
  await first.stop();
  await until('the loss to be noticed', () => orchestrator.state !== 'connected');
  const beat = orchestrator.beat();
  const http = { ...settings.http, port: Number(new URL(first.url).port) };
  const second = await startController({ ...settings, http });
  t.teardown(second.stop);
  t.is((await beat).status, 'processed');
  t.is(events.filter((type) => type === 'connected').length, 2);
});

test('the summary of a fleet of fifty is right', async (t) => {
  const { url, api, connect: open } = await openReplica(t);
  const fleet = startFleet({ url, count: 50, idPrefix: 'sim', concurrency: 10, heartbeatIntervalMs: 200 });
  t.teardown(fleet.stop);
  await until('all to be connected', () => fleet.summary().connected === 50);
  await until('two beats of each', () => fleet.summary().beatsAcknowledged >= 100);
  const live = '/api/v1/controller/orchestrators/live';
  t.is((await api.get(live)).body.data.total_count, 50);
  const message = { type: 'hello', ack: true };
  t.is((await api.post('/api/v1/internal/orchestrators/sim-0007/send', message)).status, 200);
  await open('sim-0050');
  await until('one to be superseded', () => fleet.summary().connected === 49);

  const summary = fleet.stop();
  t.like(summary, { count: 50, connected: 49, beatsIgnored: 0, framesReceived: 1, repeatsDropped: 0 });
  t.like(summary, { reconnects: 0, errorsByCode: { superseded: 1 } });
  const { p50Ms = 0, p99Ms = 0 } = summary;
  t.true(p50Ms > 0 && p50Ms <= p99Ms && p99Ms < summary.elapsedMs);
  t.regex(describeSummary(summary), /connected +49 of 50\n.*beats acknowledged +\d+, of which ignored 0\n/);
  await until('the fleet to be gone', async () => (await api.get(live)).body.data.total_count === 1);
});

test('the command prints each step and each frame, and ends well on Ctrl-C', async (t) => {
  const { url, api } = await openReplica(t);
  const { output, prints, interrupt, exitCode } = run(t, ['--id', 'org-1', '--name', 'One', '--url', url]);
  await prints('1 processed in');
  const message = { type: 'task.run', data: { n: 7 }, ack: true };
  const sent = await api.post('/api/v1/internal/orchestrators/org-1/send', message);
  t.deepEqual(sent.body.ack, { received: true });
  interrupt();
  t.is(await exitCode(), 0);
  t.regex(output.stdout, /connecting +to .*\n.*handshake_ack +\{.*\n.*provision_config +\{.*"name":"One"/);
  t.regex(
    output.stdout,
    /\d\d:\d\d:\d\d\.\d{3} {2}task\.run +\{"type":"task\.run","data":\{"n":7\},"message_id":"msg_/,
  );
  t.true(
    output.stdout.endsWith(
      'org-1: 1 beats acknowledged, 1 frames received, 0 repeats dropped, 0 reconnects\n',
    ),
  );
  t.is(output.stderr, '');
});

test('the command with a count runs a fleet and sums it up', async (t) => {
  const { url, api } = await openReplica(t);
  const { output, interrupt, exitCode } = run(t, ['--count', '20', '--id', 'demo', '--url', url]);
  const live = '/api/v1/controller/orchestrators/live';
  await until('the fleet to be live', async () => (await api.get(live)).body.data.total_count === 20);
  interrupt();
  t.is(await exitCode(), 0);
  t.regex(output.stdout, /^Fleet of 20, \d+\.\d s\n {2}connected +\d+ of 20\n/);
  t.regex(output.stdout, /errors +none\n$/);
});

test('the command says that the controller is out of reach, tries again, and ends after so many seconds', async (t) => {
  const { settings } = await openReplica(t);
  const gone = await startController(settings);
  await gone.stop();
  const { output, exitCode } = run(t, ['--id', 'org-1', '--seconds', '0.5', '--url', gone.url]);
  t.is(await exitCode(), 0);
  t.regex(output.stdout, /unreachable +.*ECONNREFUSED.*; trying again in \d\.\d s\n/);
});

test('the command explains itself, and what is wrong with its flags', async (t) => {
  const help = run(t, ['--help']);
  t.is(await help.exitCode(), 0);
  t.regex(help.output.stdout, /^Usage: npm run orchestrator -- --id ID/);
  const unknown = run(t, ['--idd', 'x']);
  t.is(await unknown.exitCode(), 2);
  t.regex(unknown.output.stderr, /^Unknown option '--idd'.*\n\nUsage: /s);
  const bad = run(t, ['--id', '../x', '--count', 'many', '--url', 'nowhere']);
  t.is(await bad.exitCode(), 2);
  t.regex(bad.output.stderr, /^--id: .*\n--count: must be a number\n--url: .*\n\nUsage: /);
});
