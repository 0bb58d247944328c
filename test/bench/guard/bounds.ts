// Owns the bounds of what 1,000 pieces of a work may have the stores do, and of the bytes that they may move.
import type { Counts, Figure } from './meters.ts';
import type { WorkName } from './works.ts';

/**
 * What was counted when a bound was set. A change that is to cost more raises it, and its commit says why; one that
 * saves something lowers it. The test prints rows to put here.
 */
export const seen: Readonly<Record<WorkName, Counts>> = {
  firstHandshakes: {
    statements: 7,
    walBytes: 1_870_000,
    toPostgresBytes: 984_000,
    fromPostgresBytes: 179_000,
    redisCommands: 1_160,
    toRedisBytes: 1_220_000,
    fromRedisBytes: 50_700,
    toOrchestratorsBytes: 745_000,
    toCallersBytes: 0,
  },
  handshakes: {
    statements: 5,
    walBytes: 611_000,
    toPostgresBytes: 346_000,
    fromPostgresBytes: 222_000,
    redisCommands: 1_160,
    toRedisBytes: 1_220_000,
    fromRedisBytes: 52_900,
    toOrchestratorsBytes: 747_000,
    toCallersBytes: 0,
  },
  heartbeats: {
    statements: 1,
    walBytes: 272_000,
    toPostgresBytes: 19_000,
    fromPostgresBytes: 232,
    redisCommands: 30,
    toRedisBytes: 280_000,
    fromRedisBytes: 6,
    toOrchestratorsBytes: 85_000,
    toCallersBytes: 0,
  },
  loneHeartbeats: {
    // Of Redis: where each line goes there alone. They may share a way, when the next heartbeat is quicker than it.
    statements: 1_000,
    walBytes: 322_000,
    toPostgresBytes: 154_000,
    fromPostgresBytes: 232_000,
    redisCommands: 9_000,
    toRedisBytes: 668_000,
    fromRedisBytes: 6_000,
    toOrchestratorsBytes: 85_000,
    toCallersBytes: 0,
  },
  sends: {
    statements: 0,
    walBytes: 0,
    toPostgresBytes: 0,
    fromPostgresBytes: 0,
    redisCommands: 38_500,
    toRedisBytes: 3_850_000,
    fromRedisBytes: 691_000,
    toOrchestratorsBytes: 177_000,
    toCallersBytes: 904_000,
  },
  loneSends: {
    statements: 0,
    walBytes: 0,
    toPostgresBytes: 0,
    fromPostgresBytes: 0,
    redisCommands: 65_500,
    toRedisBytes: 6_560_000,
    fromRedisBytes: 951_000,
    toOrchestratorsBytes: 177_000,
    toCallersBytes: 904_000,
  },
};

/** By which share of itself a figure may be more. Where counts fall out alike each time, one more of anything is too much. */
const allowances: Readonly<Record<Figure, number>> = {
  statements: 0,
  // Which pages are pruned, and when, is Postgres's affair.
  walBytes: 0.3,
  toPostgresBytes: 0.1,
  fromPostgresBytes: 0.1,
  redisCommands: 0.05,
  toRedisBytes: 0.1,
  fromRedisBytes: 0.1,
  toOrchestratorsBytes: 0.05,
  toCallersBytes: 0.05,
};
const otherwise: Readonly<Partial<Record<WorkName, Partial<Record<Figure, number>>>>> = {
  // A crowd is met by a replica that stood still for a while: BullMQ may open a connection anew behind that.
  firstHandshakes: { fromRedisBytes: 0.25 },
  handshakes: { fromRedisBytes: 0.25 },
  // On a connection that has not yet had the statement its text goes with it, once.
  // Redis has so few to carry out that those of one batch more show.
  heartbeats: { toPostgresBytes: 0.2, redisCommands: 0.9 },
  // How many of those under way share a step depends on who is quicker.
  sends: { redisCommands: 0.15, toRedisBytes: 0.2, fromRedisBytes: 0.2 },
  loneSends: { redisCommands: 0.01 },
};
/** Where next to nothing is moved, a reply more or less of Redis's is no matter. */
const slackBytes = 2_000;

/** Less than twice what was seen, but for a few bytes. */
export function boundOf(work: WorkName, figure: Figure): number {
  const most = seen[work][figure] * (1 + (otherwise[work]?.[figure] ?? allowances[figure]));
  return Math.floor(figure.endsWith('Bytes') ? Math.max(most, slackBytes) : most);
}
