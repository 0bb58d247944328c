// Owns what is told of a call that is traced: its steps, each under the one before it, on whichever replica.

export type StepKind = 'server' | 'client' | 'producer' | 'consumer';

/** Names and values by OpenTelemetry's semantic conventions, where they have one. */
export type Attributes = Record<string, string | number | boolean>;

export interface Step {
  /** Hands the step on, to what happens under it, as W3C Trace Context writes it; undefined where nothing is traced. */
  readonly traceparent: string | undefined;
  /** For the log; undefined where nothing is traced. */
  readonly traceId: string | undefined;
  /**
   * Ends the step; may be said twice, and the first counts.
   * @param how.name what it turned out to be
   * @param how.error what went wrong: a code or status that has few values
   */
  end(how?: { name?: string; attributes?: Attributes; error?: string | undefined }): void;
}

export interface Tracing {
  /** Without it nothing need be prepared to be told. */
  readonly on: boolean;
  /**
   * Begins a step under the one that `traceparent` names. A `server` step without one, or with one that is not
   * well-formed, begins a trace; any other is then not told.
   */
  begin(kind: StepKind, name: string, traceparent: string | undefined, attributes: Attributes): Step;
}

/** Of what is not traced. */
export const noStep: Step = Object.freeze({ traceparent: undefined, traceId: undefined, end() {} });

/** Tells nothing, to nobody: tracing is off unless it is asked for. */
export const noTracing: Tracing = Object.freeze({ on: false, begin: () => noStep });
