// Owns a collector of traces: takes OTLP over HTTP, as JSON or protobuf, and keeps what it was sent.
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';

const attributeSchema = z.object({
  key: z.string(),
  value: z.record(z.string(), z.unknown()),
});
const requestSchema = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(attributeSchema) }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: z.string(),
              spanId: z.string(),
              parentSpanId: z.string().optional(),
              name: z.string(),
              kind: z.number(),
              attributes: z.array(attributeSchema),
            }),
          ),
        }),
      ),
    }),
  ),
});

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: string | undefined;
  readonly attributes: Record<string, unknown>;
  /** Of the replica that it is from. */
  readonly resource: Record<string, unknown>;
}

export interface Collector extends AsyncDisposable {
  readonly url: string;
  /** What came as JSON. */
  readonly spans: CollectedSpan[];
  readonly requests: { path: string | undefined; headers: IncomingHttpHeaders; body: Buffer }[];
  /** Connections so far. */
  readonly connections: number;
}

// https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];

/** @param options.answers false: takes what it is sent, and never says so */
export async function openCollector({ answers = true } = {}): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const requests: Collector['requests'] = [];
  let connections = 0;
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await Array.fromAsync<Buffer>(request));
    requests.push({ path: request.url, headers: request.headers, body });
    if (request.headers['content-type'] === 'application/json') collect(body);
    if (answers) response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  server.on('connection', () => {
    connections += 1;
  });

  function collect(body: Buffer): void {
    for (const { resource, scopeSpans } of requestSchema.parse(JSON.parse(body.toString())).resourceSpans)
      for (const span of scopeSpans.flatMap((scope) => scope.spans))
        spans.push({
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId,
          name: span.name,
          kind: kinds[span.kind],
          attributes: valuesOf(span.attributes),
          resource: valuesOf(resource.attributes),
        });
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the collector has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    spans,
    requests,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function valuesOf(attributes: readonly z.infer<typeof attributeSchema>[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
