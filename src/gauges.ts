// Owns the figures of one replica that are read when they are asked for.
import type { Calls } from './calls.ts';
import type { Metrics } from './metrics.ts';
import type { LogRing } from './redis/log-ring.ts';
import type { Admission } from './socket/admission.ts';
import type { Sockets } from './socket/server.ts';

export function registerGauges(
  metrics: Metrics,
  of: {
    calls: Pick<Calls, 'size'>;
    sockets: Pick<Sockets, 'size' | 'open' | 'unreadBytes'>;
    admission: Pick<Admission, 'waiting'>;
    logRing: Pick<LogRing, 'dropped'>;
  },
): void {
  const { calls, sockets, admission, logRing } = of;
  const gauges: [name: string, help: string, read: () => number][] = [
    [
      'moolai_http_calls',
      'Calls over HTTP that have begun and are not answered to the end',
      () => calls.size,
    ],
    ['moolai_connections', 'Orchestrators connected to this replica', () => sockets.size],
    ['moolai_sockets', 'Sockets open on this replica, with a handshake or yet without', () => sockets.open],
    ['moolai_handshakes_waiting', 'Handshakes that wait for their commit', () => admission.waiting],
    ['moolai_unread_bytes', 'Bytes that wait until orchestrators read them', () => sockets.unreadBytes],
    ['moolai_log_lines_dropped', 'Log lines of this replica that the ring lost', () => logRing.dropped],
  ];
  for (const gauge of gauges) metrics.gauge(...gauge);
}
