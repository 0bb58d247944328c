// Owns the command `npm run orchestrator`: flags to a reference orchestrator, or to a simulated fleet of them.
import { z } from 'zod';
import { isLoopback } from '../access/loopback.ts';
import { identifier } from '../fleet/identifiers.ts';
import { readFlags } from './flags.ts';
import { keyFileIn, localFolder, mintLocally, parseKeys, readKeyFile } from './key-file.ts';
import {
  connectOrchestrator,
  type OrchestratorEvent,
  type OrchestratorOptions,
} from './orchestrator-client.ts';
import { describeProgress, describeSummary, type FleetOptions, startFleet } from './simulated-fleet.ts';

const usage = `Usage: npm run orchestrator -- --id ID [options]

Connects to the controller as a reference orchestrator: shakes hands, beats, prints every frame that it gets,
acknowledges it and reconnects when the connection is lost. Ctrl-C ends it with a summary.

  --id ID              its orchestrator id; the prefix of their ids with --count (default then: sim)
  --count N            a simulated fleet of N orchestrators, ID-0001 and so on (default: 1)
  --concurrency N      how many of a fleet may be on their way to their first connection (default: 50)
  --organization ID    the organization it belongs to (default: its own id)
  --name NAME          a name for people
  --location PLACE     where it runs
  --url URL            the controller (default: http://127.0.0.1:8765)
  --seconds S          ends by itself after so many seconds
  --interval MS        beats so often, whatever interval the controller tells
  --transports LIST    websocket, polling or both with a comma between (default: websocket)
  --help               shows this

Where the controller asks for tokens, MOOLAI_TOKEN is sent; without it, and where the controller runs on this machine,
one that is signed with the key of the local mode (see npm run token -- --help).
`;

const flagNames = [
  ...[
    'id',
    'count',
    'concurrency',
    'organization',
    'name',
    'location',
    'url',
    'seconds',
    'interval',
    'transports',
  ],
];
const number = z.coerce.number({ error: 'must be a number' });
const flagsSchema = z
  .object({
    id: identifier.optional(),
    count: number.int().min(1).max(100_000).default(1),
    concurrency: number.int().min(1).max(100_000).optional(),
    organization: identifier.optional(),
    name: z.string().min(1).optional(),
    location: z.string().min(1).optional(),
    url: z.url({ protocol: /^https?$/ }).default('http://127.0.0.1:8765'),
    seconds: number.positive().max(2_000_000).optional(),
    interval: number.min(1).max(86_400_000).optional(),
    transports: z
      .string()
      .transform((list) => list.split(','))
      .pipe(z.array(z.enum(['websocket', 'polling'])))
      .optional(),
  })
  .refine(({ id, count }) => id !== undefined || count > 1, {
    path: ['id'],
    message: 'needed for one orchestrator',
  });

type Output = Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>;
type Common = Omit<OrchestratorOptions, 'orchestratorId' | 'token'>;

// A reader that has seen enough, as in `| head`, ends us without a word.
process.stdout.on('error', () => process.exit(0));
await main();

async function main() {
  const flags = readFlags(flagNames, flagsSchema, usage);
  if (flags === undefined) return;
  const { id, count, concurrency, seconds } = flags;
  const common: Common = {
    url: flags.url,
    organizationId: flags.organization,
    metadata: { name: flags.name, location: flags.location },
    heartbeatIntervalMs: flags.interval,
    transports: flags.transports,
    onFrame: () => ({ received: true }),
  };
  const tokenOf = await findTokens(flags.url, flags.organization);
  const until = endSignal(seconds);
  const ended =
    id !== undefined && count === 1
      ? await followOne(
          { ...common, orchestratorId: id, token: tokenOf && (() => tokenOf(id)) },
          until,
          process.stdout,
        )
      : await followFleet(
          { ...common, count, concurrency, tokenOf, idPrefix: id ?? 'sim' },
          until,
          process.stdout,
        );
  process.exitCode = ended === 'asked' ? 0 : 1;
  // The goodbye is under way; a controller that never answers it must not keep us.
  setTimeout(() => process.exit(), 1_000).unref();
}

/** Where the tokens come from: the environment, or the key of the local mode, which is of no use elsewhere. */
async function findTokens(
  url: string,
  organization: string | undefined,
): Promise<((id: string) => string | Promise<string>) | undefined> {
  const given = process.env.MOOLAI_TOKEN;
  if (given !== undefined && given !== '') return () => given;
  const file = keyFileIn(localFolder());
  const json = isLoopback(new URL(url).hostname) ? await readKeyFile(file) : undefined;
  const [jwk] = json === undefined ? [] : parseKeys(json, file);
  if (jwk === undefined) return undefined;
  return (id) =>
    mintLocally(jwk, {
      ...{ subject: id, role: 'orchestrator', validMs: 3_600_000 },
      organizations: organization === undefined ? undefined : [organization],
    });
}

/** Aborted by the first Ctrl-C (the second kills, as usual) or after so many seconds. */
function endSignal(seconds: number | undefined) {
  const asked = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => asked.abort());
  if (seconds !== undefined) setTimeout(() => asked.abort(), seconds * 1_000).unref();
  return asked.signal;
}

async function followOne(options: OrchestratorOptions, until: AbortSignal, output: Output) {
  const screen = createScreen(output, 0);
  const seen = { beats: 0, frames: 0, repeats: 0, connections: 0 };

  function onEvent(event: OrchestratorEvent) {
    const step = (name: string, detail: unknown) => screen.print(row(name, detail));
    switch (event.type) {
      case 'connecting':
        return step('connecting', `to ${options.url} as ${options.orchestratorId}`);
      case 'connected':
        seen.connections += 1;
        return step('handshake_ack', event.handshakeAck);
      case 'provisioned':
        return step('provision_config', event.config);
      case 'beat':
        seen.beats += 1;
        return screen.redraw(
          row('beat', `${seen.beats} ${event.status} in ${event.latencyMs.toFixed(1)} ms`),
        );
      case 'frame':
        seen[event.repeat ? 'repeats' : 'frames'] += 1;
        return step(event.repeat ? 'repeat dropped' : event.frame.type, event.frame);
      case 'frame_failed':
        return step('frame failed', `${event.frame.message_id}: ${event.error}`);
      case 'complaint':
        return step('error', `${event.code}: ${event.message}`);
      case 'malformed':
        return step('malformed', `${event.event}: ${event.detail.replaceAll('\n', ' ')}`);
      case 'waiting':
        return step(event.code, `${event.message}; trying again in ${(event.delayMs / 1_000).toFixed(1)} s`);
      case 'stopped':
        return step('stopped', event.outcome);
    }
  }

  const orchestrator = connectOrchestrator({ ...options, onEvent });
  await Promise.race([aborted(until), orchestrator.closed]);
  orchestrator.stop();
  const { beats, frames, repeats, connections } = seen;
  screen.print(
    `${options.orchestratorId}: ${beats} beats acknowledged, ${frames} frames received, ` +
      `${repeats} repeats dropped, ${Math.max(0, connections - 1)} reconnects`,
  );
  return (await orchestrator.closed).why === 'stopped' ? 'asked' : 'unasked';
}

async function followFleet(options: FleetOptions, until: AbortSignal, output: Output) {
  const screen = createScreen(output, 5_000);
  const fleet = startFleet(options);
  const draw = () => screen.redraw(describeProgress(fleet.summary()));
  const timer = setInterval(draw, 200);
  await Promise.race([aborted(until), fleet.closed]);
  clearInterval(timer);
  const summary = fleet.stop();
  screen.print(describeSummary(summary));
  // A fleet of which nobody ever got in has not run.
  return until.aborted && summary.everConnected > 0 ? 'asked' : 'unasked';
}

function row(name: string, detail: unknown) {
  const text = typeof detail === 'string' ? detail : JSON.stringify(detail);
  return `${new Date().toISOString().slice(11, 23)}  ${name.padEnd(16)}  ${text}`;
}

/** Lines, and one line below them that is drawn again in place; where there is no terminal it becomes lines too, so
 *  many milliseconds apart at least. */
function createScreen(output: Output, apartMs: number) {
  let drawnAtMs = performance.now();
  return {
    print: (line: string) => void output.write(output.isTTY ? `\r\x1b[2K${line}\n` : `${line}\n`),
    redraw(line: string) {
      if (output.isTTY) output.write(`\r\x1b[2K${line.slice(0, (output.columns || 80) - 1)}`);
      else if (performance.now() - drawnAtMs >= apartMs) {
        drawnAtMs = performance.now();
        output.write(`${line}\n`);
      }
    },
  };
}

function aborted(signal: AbortSignal) {
  return new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
