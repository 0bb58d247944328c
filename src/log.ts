// Owns logging: pino to standard output, and the same lines to the ring that the whole cluster shares.
import { writeSync } from 'node:fs';
import pino from 'pino';
import { z } from 'zod';
import { hideCredentials, hideCredentialsInText } from './credentials.ts';
import { isoTime } from './iso-time.ts';

export type Log = pino.Logger;

/** Where the ring takes its lines: rendered JSON, and the line break behind it. */
export interface LineSink {
  write(line: string): void;
}

export const logLevels = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const;

/** What a line of the audit tells beside its message. */
export const auditShape = z.object({
  sub: z.string(),
  role: z.string(),
  action: z.string().describe('As in `organization.create`'),
  change: z.string().optional().describe('What it is to be, where there is a choice'),
  call: z.string().describe('Method and path'),
  organization_id: z.string().optional(),
  message_id: z.string().optional(),
  outcome: z.string().describe('`done`, or the code of the error'),
  request_id: z.string(),
});

const levelNames: Record<string, (typeof logLevels)[number]> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  fatal: 'CRITICAL',
};

export interface Logs {
  log: Log;
  /** The same, but that it keeps every line from INFO on, whatever the levels say; silence excepted. */
  audit: Log;
}

/**
 * Loggers whose every line is one JSON object `{ level, timestamp, node_id, source, message, event?,
 * orchestrator_id?, ... }`, rendered once and given to standard output and to the ring.
 * @param options.level the least level on standard output, `silent` for none
 * @param options.ringLevel the least level in the ring
 */
export function createLogs(options: {
  level: string;
  ringLevel: string;
  nodeId: string;
  ring: LineSink;
}): Logs {
  const sinks: pino.StreamEntry<pino.Level>[] = [];
  if (options.level !== 'silent') sinks.push({ level: asLevel(options.level), stream: openStandardOutput() });
  if (options.ringLevel !== 'silent') sinks.push({ level: asLevel(options.ringLevel), stream: options.ring });
  const informed = sinks.map(({ stream, level = 'info' }) => ({
    stream,
    level: isBelow('info', level) ? ('info' as const) : level,
  }));
  return { log: loggerTo(sinks, options.nodeId), audit: loggerTo(informed, options.nodeId) };
}

/** Lines that standard output does not take may wait in so many bytes; more are lost. */
const mostWaiting = 67_108_864;
/** How long the end of the process waits for whoever reads it. */
const lastWaitMs = 1_000;

/**
 * Never waits for whoever reads it; what is not out yet when the process ends is written then, if it is taken. A disk that
 * is full costs lines, and not the process.
 */
function openStandardOutput(): LineSink {
  // Of texts that wait it would make one, and measure that anew for each line that is added.
  const output = pino.destination({ dest: 1, sync: false, contentMode: 'buffer', maxLength: mostWaiting });
  output.on('error', ignore);
  // Its own tries for ever, also where whoever read it is gone.
  output.flushSync = () => writeLast(Reflect.get(output, '_bufs'));
  return { write: (line) => void Reflect.apply(output.write, output, [Buffer.from(line)]) };
}

function writeLast(pieces: unknown): void {
  if (!Array.isArray(pieces)) throw new Error("this version of pino's stream keeps its lines elsewhere");
  let rest = Buffer.concat(pieces.flat());
  const deadline = performance.now() + lastWaitMs;
  while (rest.length > 0)
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      const isFull = error instanceof Error && Reflect.get(error, 'code') === 'EAGAIN';
      if (!isFull || performance.now() > deadline) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
}

function ignore(): void {
  // The stream tries again with its next line, or takes none any more.
}

function loggerTo(sinks: pino.StreamEntry<pino.Level>[], nodeId: string): Log {
  const [least] = sinks.map(({ level }) => level ?? 'info').sort((a, b) => (isBelow(a, b) ? -1 : 1));
  const bare = pino(
    {
      level: least ?? 'silent',
      base: { node_id: nodeId },
      messageKey: 'message',
      errorKey: 'error',
      timestamp: createTimestamps(),
      formatters: { level: (label) => ({ level: levelNames[label] ?? label.toUpperCase() }) },
      serializers: {
        error: (error: unknown) => describeError(error),
        reason: (reason: unknown) =>
          typeof reason === 'string' ? tellable(reason) : hideCredentials(reason),
      },
      hooks: {
        // A line never has a key twice.
        logMethod(args, method, level) {
          const [about] = args;
          const namesSource = typeof about === 'object' && about !== null && 'source' in about;
          const logger = this === log && namesSource ? bare : this;
          method.apply(logger, withoutCredentials(args, level));
        },
      },
      redact: {
        paths: ['database_url', 'redis_url', 'environment_variables', 'token', 'authorization', 'password'],
        censor: '[hidden]',
      },
    },
    pino.multistream(sinks),
  );
  // Rendered once: most lines name no source.
  const log = bare.child({ source: 'controller' });
  return log;
}

/** Many lines are of one millisecond. */
function createTimestamps(): () => string {
  let atMs = 0;
  let text = '';
  return () => {
    const now = Date.now();
    if (now !== atMs) {
      atMs = now;
      text = `,"timestamp":"${isoTime(new Date(now))}"`;
    }
    return text;
  };
}

const warning = pino.levels.values.warn ?? 40;

type LogArguments = Parameters<pino.LogFn>;

/** What a line says of a failure may quote what others have sent; the many other lines are written as they are. */
function withoutCredentials(args: LogArguments, level: number): LogArguments {
  const [about, message] = args;
  const isOfFailure = level >= warning || (typeof about === 'object' && about !== null && 'error' in about);
  if (isOfFailure && typeof about === 'string') return [tellable(about)];
  if (isOfFailure && message !== undefined) return [about, tellable(message)];
  return args;
}

/** Without credentials, and without the values that Postgres's detail adds of the row at fault. */
function tellable(message: string): string {
  return hideCredentialsInText(message.split('\n - detail: ', 1)[0] ?? '');
}

/** With its causes. */
function describeError(error: unknown, deepest = 3): unknown {
  if (!(error instanceof Error)) return hideCredentials(error);
  const { name, message, stack, cause } = error;
  const code: unknown = Reflect.get(error, 'code');
  // A message may have lines that look like the stack's: those are not its.
  const told = new Set(message.split('\n').map((line) => line.trim()));
  const where = stack
    ?.split('\n')
    .filter((line) => line.trimStart().startsWith('at ') && !told.has(line.trim()));
  const causes = error instanceof AggregateError ? error.errors : cause === undefined ? [] : [cause];
  return {
    type: name,
    message: tellable(message),
    code,
    stack: where === undefined ? undefined : hideCredentialsInText(where.join('\n')),
    ...(causes.length > 0 && deepest > 0
      ? { causes: causes.map((each: unknown) => describeError(each, deepest - 1)) }
      : {}),
  };
}

function isBelow(one: pino.Level, other: pino.Level = 'info'): boolean {
  return (pino.levels.values[one] ?? 0) < (pino.levels.values[other] ?? 0);
}

function asLevel(level: string): pino.Level {
  if (level === 'debug' || level === 'info' || level === 'warn' || level === 'error' || level === 'fatal')
    return level;
  throw new RangeError(`no such log level: ${level}`);
}
