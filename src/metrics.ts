// Owns the metrics of one replica, in a registry of its own.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface Metrics {
  heartbeats: Counter<'outcome'>;
  sends: Counter<'outcome'>;
  busyHandshakes: Counter;
  slowReaders: Counter;
  refusedConnections: Counter<'reason'>;
  refusedEvents: Counter;
  requests: Histogram<'method' | 'route' | 'status'>;
  /** Figures that are asked for when they are rendered. */
  gauge(name: string, help: string, read: () => number): void;
  readonly contentType: string;
  render(): Promise<string>;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    heartbeats: new Counter({
      name: 'moolai_heartbeats_total',
      help: 'Heartbeats by what became of them',
      labelNames: ['outcome'],
      registers,
    }),
    sends: new Counter({
      name: 'moolai_sends_total',
      help: 'Calls of /send by outcome',
      labelNames: ['outcome'],
      registers,
    }),
    busyHandshakes: new Counter({
      name: 'moolai_handshakes_refused_total',
      help: 'Handshakes told to come again because too many were waiting',
      registers,
    }),
    slowReaders: new Counter({
      name: 'moolai_slow_readers_total',
      help: 'Connections ended because too much waited on them unread',
      registers,
    }),
    refusedConnections: new Counter({
      name: 'moolai_connections_refused_total',
      help: 'New connections refused: a foreign origin, too many of one address, or no room on this replica',
      labelNames: ['reason'],
      registers,
    }),
    refusedEvents: new Counter({
      name: 'moolai_events_refused_total',
      help: 'Events of orchestrators that came too fast to be handled',
      registers,
    }),
    requests: new Histogram({
      name: 'moolai_http_request_seconds',
      help: 'Time to answer an HTTP request, by route template and status',
      labelNames: ['method', 'route', 'status'],
      registers,
    }),
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    },
    contentType: registry.contentType,
    render: () => registry.metrics(),
  };
}
