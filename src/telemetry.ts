// Owns OpenTelemetry's SDK: whether it is wanted, by the standard OTEL_* variables, and its start and end. Nothing of it
// is loaded where it is not.

import { reasonOf } from './availability.ts';
import { within } from './deadline.ts';
import type { Log } from './log.ts';
import { createPacedWarning } from './paced-warning.ts';
import { noStep, noTracing, type Tracing } from './tracing.ts';
import { version } from './version.ts';

export interface Telemetry {
  readonly tracing: Tracing;
  /** Sends what is not yet sent, and waits for the collector no longer than a moment. Never throws. */
  close(): Promise<void>;
}

/** A collector that takes longer is away: a stop has more to do than to wait for it. */
const flushedWithinMs = 2_000;

const off: Telemetry = { tracing: noTracing, async close() {} };

/** An empty variable counts as none, by the specification. */
function variable(env: NodeJS.ProcessEnv, ...names: string[]): string | undefined {
  return names.map((name) => env[name]?.trim()).find((value) => value !== undefined && value !== '');
}

/**
 * `otlp` in OTEL_TRACES_EXPORTER turns traces on; so does OTEL_EXPORTER_OTLP_ENDPOINT, or the one for traces, where that
 * is not set. The specification has them on by default; a controller does not connect to what nobody named.
 */
function isWanted(env: NodeJS.ProcessEnv, warn: (message: string) => void): boolean {
  if (variable(env, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return false;
  const exporters = variable(env, 'OTEL_TRACES_EXPORTER')
    ?.split(',')
    .map((each) => each.trim());
  const endpoint = variable(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT');
  if (exporters === undefined) return endpoint !== undefined;
  if (exporters.includes('otlp')) return true;
  if (!exporters.includes('none')) warn('OTEL_TRACES_EXPORTER must be otlp or none: nothing is traced');
  return false;
}

/** The SDK reads the rest of OTEL_* by itself, from the environment of the process. */
export async function openTelemetry({ nodeId, log }: { nodeId: string; log: Log }): Promise<Telemetry> {
  const warnOften = createPacedWarning({ log, event: 'telemetry' });
  const warn = (message: string) => warnOften({ source: 'telemetry' }, message);
  const { env } = process;
  if (!isWanted(env, warn)) return off;
  const endpoint = variable(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT');
  if (endpoint !== undefined && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? '')) {
    // The SDK would quote it, whoever's password is in it, and send everything to this machine's port 4318 instead.
    warn('OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL: nothing is traced');
    return off;
  }
  const protocol =
    variable(env, 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL') ?? 'http/protobuf';
  if (protocol !== 'http/protobuf' && protocol !== 'http/json') {
    warn('OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf or http/json: nothing is traced');
    return off;
  }
  const [api, core, resources, sdk, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/core'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace-base'),
    protocol === 'http/json'
      ? import('@opentelemetry/exporter-trace-otlp-http')
      : import('@opentelemetry/exporter-trace-otlp-proto'),
  ]);

  // Whatever it says: never with what it was about, in which there may be headers.
  core.setGlobalErrorHandler((error) =>
    warn(`Traces are not taken: ${typeof error === 'string' ? error : reasonOf(error)}`),
  );
  const ignore = () => undefined;
  api.diag.setLogger(
    { error: warn, warn, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: api.DiagLogLevel.WARN, suppressOverrideMessage: true },
  );

  const provider = new sdk.BasicTracerProvider({
    resource: resources
      .defaultResource()
      .merge(
        resources.resourceFromAttributes({
          'service.name': 'moolai-controller',
          'service.version': version,
          'service.instance.id': nodeId,
        }),
      )
      .merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [new sdk.BatchSpanProcessor(new OTLPTraceExporter())],
  });
  const tracer = provider.getTracer('moolai-controller', version);
  const kinds = {
    server: api.SpanKind.SERVER,
    client: api.SpanKind.CLIENT,
    producer: api.SpanKind.PRODUCER,
    consumer: api.SpanKind.CONSUMER,
  };

  const tracing: Tracing = {
    on: true,
    begin(kind, name, traceparent, attributes) {
      const above = traceparent === undefined ? null : core.parseTraceParent(traceparent);
      if (above === null && kind !== 'server') return noStep;
      const context =
        above === null
          ? api.ROOT_CONTEXT
          : api.trace.setSpanContext(api.ROOT_CONTEXT, { ...above, isRemote: true });
      const span = tracer.startSpan(name, { kind: kinds[kind], attributes }, context);
      const { traceId, spanId, traceFlags } = span.spanContext();
      let ended = false;
      return {
        traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
        traceId,
        end({ name: knownName, attributes: more, error } = {}) {
          if (ended) return;
          ended = true;
          if (knownName !== undefined) span.updateName(knownName);
          if (more !== undefined) span.setAttributes(more);
          if (error !== undefined) {
            span.setAttribute('error.type', error);
            span.setStatus({ code: api.SpanStatusCode.ERROR });
          }
          span.end();
        },
      };
    },
  };

  return {
    tracing,
    async close() {
      try {
        await within(
          flushedWithinMs,
          provider.shutdown(),
          () => new Error(`the collector did not take them within ${flushedWithinMs} ms`),
        );
      } catch (error) {
        warn(`The last traces are lost: ${reasonOf(error)}`);
      }
    },
  };
}
