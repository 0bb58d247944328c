// Owns the composition: what a controller is made of, in which order it starts, and in which it stops.
import { createServer } from 'node:http';
import { createAudit } from './access/audit.ts';
import { createTokens, tellOfDoor } from './access/tokens.ts';
import { trackCalls } from './calls.ts';
import { type Clock, systemClock } from './clock.ts';
import { openDatabase } from './database/database.ts';
import { createArrivals } from './fleet/arrivals.ts';
import { createConnections } from './fleet/connections.ts';
import { createDelivery } from './fleet/delivery.ts';
import { createEnvironmentFiles } from './fleet/environment-files.ts';
import { createHandOver } from './fleet/hand-over.ts';
import { createHeartbeats } from './fleet/heartbeats.ts';
import { newNodeId } from './fleet/identifiers.ts';
import { createIndependences } from './fleet/independence.ts';
import { createInstances } from './fleet/instances.ts';
import { createJsonSchemas } from './fleet/json.ts';
import { createMessages } from './fleet/messages.ts';
import { createOrganizations } from './fleet/organizations.ts';
import { createOverview } from './fleet/overview.ts';
import { createProvisioning } from './fleet/provisioning.ts';
import { createReadiness } from './fleet/readiness.ts';
import { createRegistrations } from './fleet/registrations.ts';
import { createSweep } from './fleet/sweep.ts';
import { registerGauges } from './gauges.ts';
import { createAddressOf } from './http/address.ts';
import { createApps } from './http/app.ts';
import { answerClientErrors } from './http/client-errors.ts';
import { limitConnections, timeoutsOf } from './http/connections.ts';
import { type Listen, listen } from './listen.ts';
import { createLogs } from './log.ts';
import { createMetrics } from './metrics.ts';
import { openProcessServer, type ProcessServer } from './process-server.ts';
import type { Frame } from './queue/frame.ts';
import { openOutbox } from './queue/outbox.ts';
import { openOutcomes } from './queue/outcomes.ts';
import { openSweeper } from './queue/sweeper.ts';
import { openRedis } from './redis/connection.ts';
import { createKeys } from './redis/keys.ts';
import { createLease } from './redis/lease.ts';
import { createLogRing } from './redis/log-ring.ts';
import { createPresence } from './redis/presence.ts';
import { createRateLimits } from './redis/rate-limits.ts';
import type { Settings } from './settings.ts';
import { createAdmission } from './socket/admission.ts';
import { describeEvents } from './socket/asyncapi.ts';
import { isForSockets } from './socket/path.ts';
import { createEvents, deregistered, silent } from './socket/protocol.ts';
import { openSockets } from './socket/server.ts';
import type { openTelemetry } from './telemetry.ts';
import { noTracing } from './tracing.ts';

export interface Controller {
  /** Where this replica is reached. */
  readonly url: string;
  /** Where its health and metrics are. */
  readonly processUrl: string;
  readonly nodeId: string;
  /** What keeps this replica from taking calls, in words; none when it is ready. */
  faults(): Promise<string[]>;
  /** Not ready from now on; sends every orchestrator to another replica. REST goes on. */
  drain(): Promise<void>;
  /** Drains, writes what is acknowledged or waits, hands over the queue, and closes. Within the deadline. */
  stop(): Promise<void>;
}

/**
 * Starts one replica. A store that is down does not keep it from starting: it is not ready until they answer.
 * @param options.listen how connections come in; by default a TCP port
 * @param options.openTelemetry starts tracing, if the environment of the process asks for it; by default nobody does
 * @throws with a message for a person when the port cannot be had or the database has no tables
 */
export async function startController(
  settings: Settings,
  options: { listen?: Listen; clock?: Clock; openTelemetry?: typeof openTelemetry } = {},
): Promise<Controller> {
  const clock = options.clock ?? systemClock;
  const nodeId = newNodeId();
  const startedAt = new Date(clock.now()).toISOString();
  const closing = new AsyncDisposableStack();
  const keys = createKeys(settings.redis.prefix);
  const metrics = createMetrics();

  // The log, and the stores.
  const ring = { write: (line: string) => logRing.write(line) };
  const { log, audit: auditLog } = createLogs({ ...settings.logs, nodeId, ring });
  const redis = closing.adopt(openRedis({ ...settings.redis, log }), (it) => it.close());
  const logRing = createLogRing({
    redis: redis.commands,
    keys,
    size: settings.logs.ringSize,
    auditSize: settings.logs.auditSize,
    backlog: settings.logs.ringBacklog,
    metrics,
    onDropped: (count) =>
      log.warn(
        { source: 'log-ring' },
        `${count} log lines were dropped: Redis was away, or slower than they came`,
      ),
  });
  const telemetry = closing.adopt(await options.openTelemetry?.({ nodeId, log }), (it) => it?.close());
  const tracing = telemetry?.tracing ?? noTracing;
  // What is still logged when Redis is let go has nowhere to be kept.
  closing.defer(() => logRing.abandon());
  const database = closing.adopt(await openDatabase({ ...settings.database, log }), (it) => it.close());

  // Shared state.
  /** Frames that a restored connection found waiting; without the lease they would only be sent on. */
  const parked: Frame[] = [];
  const lease = createLease({
    redis: redis.commands,
    keys,
    nodeId,
    startedAt,
    ...settings.presence,
    onRegained: async () => {
      await sweeper.schedule();
      await connections.restore(sockets.connections, {
        stillThere: (connection) => sockets.has(connection),
        superseded: (connection, owner) => sockets.supersede(connection, owner),
        silent: ({ orchestratorId, epoch }) =>
          sockets.closeEverywhere(orchestratorId, epoch, silent(orchestratorId)),
        parked: (frames) => parked.push(...frames),
      });
    },
    async onHeld() {
      await connections.settle();
      await arrivals.receive(parked.splice(0), undefined);
    },
    metrics,
    log,
  });
  const liveNodes = async () => (await lease.roster()).live;
  const presence = createPresence({
    redis: redis.commands,
    keys,
    nodeId,
    liveNodes,
    now: clock.now,
    metrics,
  });
  const queues = { commands: redis.commands, patient: redis.patient, keys, nodeId, log };
  const outbox = openOutbox(queues);
  const outcomes = openOutcomes({
    ...queues,
    subscriber: redis.unattended('outcomes'),
    sharded: redis.sharded,
    onOutcome: (outcome) => delivery.settle(outcome),
  });

  // The fleet.
  const heartbeats = createHeartbeats({ database, presence, clock, nodeId, metrics, log });
  const { heartbeatIntervalMs } = settings.socket;
  const inactiveAfterMs = settings.sweep.inactiveAfterIntervals * heartbeatIntervalMs;
  const connections = createConnections({
    ...{ database, presence, lease, clock, nodeId, inactiveAfterMs, metrics, log },
  });
  const provisioning = createProvisioning({ database, clock });
  const organizations = createOrganizations({ database, clock, log });
  const instances = createInstances({ database, clock, log });
  const messages = createMessages({ database, instances, clock, log });
  const registrations = createRegistrations({
    database,
    presence,
    closeSockets: (id, epoch) => sockets.closeEverywhere(id, epoch, deregistered(id)),
    onRegistered: (id) => sockets.announceRegistration(id),
    onRemoved() {
      sockets.announceIndependence();
      void independences.refreshFiles();
    },
    log,
  });
  const files = createEnvironmentFiles({ database, folder: settings.independence.folder, nodeId });
  const independences = createIndependences({
    database,
    files,
    announce: () => sockets.announceIndependence(),
    clock,
    log,
  });
  const delivery = createDelivery({
    presence,
    outbox,
    clock,
    nodeId,
    ...settings.delivery,
    routeWithinMs: settings.redis.commandTimeoutMs,
    metrics,
    tracing,
    log,
  });
  const arrivals = createArrivals({
    socketOf: (frame) => sockets.socketOf(frame),
    settled: (id) => sockets.settled(id),
    outcomes,
    delivery,
    lease,
    clock,
    nodeId,
    metrics,
    tracing,
    log,
  });
  const overview = createOverview({ database, presence, lease });
  const { readTimeoutMs: answerWithinMs } = settings.database;
  const queueDepth = () => outbox.depth(nodeId);
  const readiness = createReadiness({ database, redis, lease, queueDepth, answerWithinMs, log });
  const sweep = createSweep({
    database,
    presence,
    lease,
    outbox,
    delivery,
    clock,
    unhealthyAfterMs: settings.sweep.unhealthyAfterIntervals * heartbeatIntervalMs,
    inactiveAfterMs,
    graceMs: settings.presence.leaseMs,
    closeSilent: (id, epoch) => sockets.closeEverywhere(id, epoch, silent(id)),
    log,
  });
  const sweeper = openSweeper({ ...queues, everyMs: settings.sweep.everyMs, sweep: sweep.run });

  const handOver = createHandOver({
    redis,
    outbox,
    sweeper,
    delivery,
    lease,
    presence,
    logRing,
    nodeId,
    log,
  });

  // The edges.
  const tokens = createTokens({ auth: settings.auth, now: clock.now, log });
  const jsonSchemas = createJsonSchemas(settings.limits);
  const events = createEvents(jsonSchemas);
  // Any other request to upgrade is answered as if it had not asked: many clients ask for HTTP/2 that way.
  const http = createServer({
    shouldUpgradeCallback: isForSockets,
    requireHostHeader: false,
    ...timeoutsOf(settings.http),
  });
  http.setTimeout(settings.http.idleTimeoutMs);
  limitConnections(http, settings.http, log);
  const calls = trackCalls(http);
  const rates = createRateLimits({ redis: redis.commands, keys, ...settings.limits, log });
  const addressOf = createAddressOf(settings.http.trustedProxies);
  const apps = createApps({
    tokens,
    audit: createAudit({ log: auditLog }),
    organizations,
    instances,
    registrations,
    independences,
    messages,
    heartbeats,
    delivery,
    overview,
    readiness,
    presence,
    lease,
    logRing,
    metrics,
    tracing,
    jsonSchemas,
    clock,
    nodeId,
    startedAt,
    rates,
    addressOf,
    describeEvents: () => describeEvents(events),
    ...settings.limits,
    ...settings.http,
    answerWithinMs,
    log,
  });
  http.on('request', apps.main.callback());
  answerClientErrors(http, clock);
  const admission = createAdmission({ ...settings.socket, now: () => performance.now(), metrics, log });
  const sockets = openSockets({
    http,
    calls,
    redis,
    keys,
    context: {
      connections,
      heartbeats,
      provisioning,
      admission,
      tokens,
      expiryNoticeMs: settings.auth.expiryNoticeMs,
      events,
      clock,
      nodeId,
      metrics,
      ...settings.socket,
      log,
    },
    ...settings.socket,
    corsOrigins: settings.http.corsOrigins,
    handshakes: rates.handshakes,
    addressOf,
    onFrames: (frames, emit) => void arrivals.receive(frames, emit),
    onIndependence: () => void independences.refreshFiles(),
    log,
  });
  registerGauges(metrics, {
    ...{ calls, sockets, admission, lease, readiness, presence, queueDepth, answerWithinMs },
    connectionsPerReplica: settings.socket.connectionsPerReplica,
  });

  async function drain(): Promise<void> {
    readiness.drain();
    await lease.drain().catch((error: unknown) => log.debug({ error }, 'Redis was not told of the drain'));
    const { reconnectsPerSecond: perSecond, reconnectGraceMs: graceMs, deadlineMs } = settings.shutdown;
    // The other half is for what must be written and handed over.
    await sockets.drain({ perSecond, graceMs, withinMs: deadlineMs / 2 });
  }

  /** Probes are answered until the very end. */
  let processServer: ProcessServer | undefined;
  closing.defer(() => processServer?.close());

  closing.defer(async () => {
    // Last of all, when nothing can write any more: what the stores must still be told.
    await Promise.all([heartbeats.idle(), connections.idle(), presence.settled()]);
    await handOver();
    outcomes.close();
  });

  closing.defer(() => sockets.close());

  let stopping: Promise<void> | undefined;
  async function stop(): Promise<void> {
    log.info({ event: 'stop' }, `Replica ${nodeId} stops`);
    const late = setTimeout(() => {
      log.error(
        { event: 'stop' },
        `Replica ${nodeId} could not finish in time; what waits for a store is given up`,
      );
      const reason = new Error('the replica stops');
      for (const each of [heartbeats, connections, logRing, delivery]) each.abandon(reason);
    }, settings.shutdown.deadlineMs);
    try {
      await drain();
      await closing.disposeAsync();
    } finally {
      clearTimeout(late);
    }
  }

  try {
    await database.requireSchema();
    // The lease first: a connection of a replica without one would count for nothing.
    await redis.tried();
    await lease.start();
    outbox.consume(arrivals.handle);
    if (apps.process !== undefined)
      processServer = await openProcessServer({
        handle: apps.process.callback(),
        host: settings.http.host,
        port: settings.http.processPort ?? 0,
        timeouts: timeoutsOf(settings.http),
        idleTimeoutMs: settings.http.idleTimeoutMs,
        clock,
      });
    const url = await (options.listen ?? listen(settings.http))(http, sockets.io);
    await independences.refreshFiles();
    log.info({ event: 'start' }, `Replica ${nodeId} listens at ${url}`);
    if (processServer !== undefined)
      log.info({ event: 'start' }, `Its health and metrics are at ${processServer.url}`);
    tellOfDoor(settings, log);
    // Told in the log from here on.
    await readiness.faults();
    return {
      url,
      processUrl: processServer?.url ?? url,
      nodeId,
      faults: readiness.faults,
      drain,
      stop: () => (stopping ??= stop()),
    };
  } catch (error) {
    await closing.disposeAsync();
    throw error;
  }
}
