// Owns logging: pino to standard output, and the same lines to the ring that the whole cluster shares.
import pino from 'pino';

export type Log = pino.Logger;

/** Where the ring takes its lines: rendered JSON without a line break. */
export interface LineSink {
  write(line: string): void;
}

const levelNames: Record<string, string> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  fatal: 'CRITICAL',
};

/**
 * A logger whose every line is one JSON object `{ level, timestamp, node_id, source, message, event?,
 * orchestrator_id?, ... }`, rendered once and given to standard output and to the ring.
 * @param options.level the least level on standard output, `silent` for none
 * @param options.ringLevel the least level in the ring
 */
export function createLog(options: {
  level: string;
  ringLevel: string;
  nodeId: string;
  ring: LineSink;
}): Log {
  const sinks: pino.StreamEntry[] = [];
  if (options.level !== 'silent')
    sinks.push({ level: asLevel(options.level), stream: pino.destination({ dest: 1, sync: false }) });
  if (options.ringLevel !== 'silent')
    sinks.push({
      level: asLevel(options.ringLevel),
      stream: { write: (line) => options.ring.write(line.trimEnd()) },
    });
  const least = sinks.map((sink) => pino.levels.values[String(sink.level)] ?? 0).sort((a, b) => a - b)[0];
  return pino(
    {
      level: least === undefined ? 'silent' : (pino.levels.labels[least] ?? 'info'),
      base: { node_id: options.nodeId },
      // Beneath what a call says itself: a line never has a key twice.
      mixin: () => ({ source: 'controller' }),
      messageKey: 'message',
      errorKey: 'error',
      timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: levelNames[label] ?? label.toUpperCase() }) },
      serializers: { error: describeError },
      redact: {
        paths: ['database_url', 'redis_url', 'environment_variables', 'token', 'authorization', 'password'],
        censor: '[hidden]',
      },
    },
    pino.multistream(sinks),
  );
}

/** Without what a store adds: the values of the row or the statement that it complains of. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, stack } = error;
  const code: unknown = Reflect.get(error, 'code');
  const where = stack?.split('\n').filter((line) => line.trimStart().startsWith('at '));
  return { type: name, message: message.split(' - ').at(-1), code, stack: where?.join('\n') };
}

function asLevel(level: string): pino.Level {
  if (level === 'debug' || level === 'info' || level === 'warn' || level === 'error' || level === 'fatal')
    return level;
  throw new RangeError(`no such log level: ${level}`);
}
