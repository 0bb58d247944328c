// Owns what every step of a trace says of the queue that a message goes through.
import type { Attributes } from '../tracing.ts';

/** By https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ */
export const onQueue: Attributes = {
  'messaging.system': 'bullmq',
  'messaging.destination.template': 'outbound.{node_id}',
};
