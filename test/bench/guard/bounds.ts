// Owns the bounds of what 1,000 pieces of a work may have the stores do, and of the bytes that they may move.
import type { Figure } from './meters.ts';
import type { WorkName } from './works.ts';

export interface Bound {
  /** What was counted when the bound was set. */
  readonly seen: number;
  /** None lets twice as much pass; where counts fall out alike each time, one more of anything is too much. */
  readonly atMost: number;
}

/** A change that is to cost more raises them, and says why; one that saves something lowers them. */
export const bounds: Readonly<Record<WorkName, Readonly<Record<Figure, Bound>>>> = {
  firstHandshakes: {
    statements: { seen: 9, atMost: 9 },
    walBytes: { seen: 1_923_000, atMost: 2_500_000 },
    toPostgresBytes: { seen: 1_119_000, atMost: 1_230_000 },
    fromPostgresBytes: { seen: 238_000, atMost: 262_000 },
    redisCommands: { seen: 13_030, atMost: 13_700 },
    toRedisBytes: { seen: 1_667_000, atMost: 1_830_000 },
    fromRedisBytes: { seen: 368_000, atMost: 405_000 },
    toOrchestratorsBytes: { seen: 745_000, atMost: 782_000 },
    toCallersBytes: { seen: 0, atMost: 0 },
  },
  handshakes: {
    statements: { seen: 9, atMost: 9 },
    walBytes: { seen: 602_000, atMost: 783_000 },
    toPostgresBytes: { seen: 1_119_000, atMost: 1_230_000 },
    fromPostgresBytes: { seen: 285_000, atMost: 314_000 },
    redisCommands: { seen: 13_030, atMost: 13_700 },
    toRedisBytes: { seen: 1_669_000, atMost: 1_840_000 },
    fromRedisBytes: { seen: 370_000, atMost: 407_000 },
    toOrchestratorsBytes: { seen: 747_000, atMost: 784_000 },
    toCallersBytes: { seen: 0, atMost: 0 },
  },
  heartbeats: {
    statements: { seen: 1, atMost: 1 },
    walBytes: { seen: 302_000, atMost: 393_000 },
    toPostgresBytes: { seen: 107_000, atMost: 118_000 },
    fromPostgresBytes: { seen: 90_100, atMost: 99_100 },
    redisCommands: { seen: 1_020, atMost: 1_070 },
    toRedisBytes: { seen: 288_000, atMost: 317_000 },
    fromRedisBytes: { seen: 80, atMost: 2_000 },
    toOrchestratorsBytes: { seen: 85_000, atMost: 89_200 },
    toCallersBytes: { seen: 0, atMost: 0 },
  },
  loneHeartbeats: {
    statements: { seen: 1_000, atMost: 1_004 },
    walBytes: { seen: 378_000, atMost: 491_000 },
    toPostgresBytes: { seen: 2_012_000, atMost: 2_210_000 },
    fromPostgresBytes: { seen: 280_000, atMost: 308_000 },
    redisCommands: { seen: 8_000, atMost: 8_400 },
    toRedisBytes: { seen: 544_000, atMost: 598_000 },
    fromRedisBytes: { seen: 6_000, atMost: 6_600 },
    toOrchestratorsBytes: { seen: 85_000, atMost: 89_200 },
    toCallersBytes: { seen: 0, atMost: 0 },
  },
  sends: {
    statements: { seen: 0, atMost: 0 },
    walBytes: { seen: 0, atMost: 2_000 },
    toPostgresBytes: { seen: 0, atMost: 2_000 },
    fromPostgresBytes: { seen: 0, atMost: 2_000 },
    redisCommands: { seen: 50_900, atMost: 58_500 },
    toRedisBytes: { seen: 4_100_000, atMost: 4_920_000 },
    fromRedisBytes: { seen: 785_000, atMost: 942_000 },
    toOrchestratorsBytes: { seen: 177_000, atMost: 186_000 },
    toCallersBytes: { seen: 904_000, atMost: 949_000 },
  },
  loneSends: {
    statements: { seen: 0, atMost: 0 },
    walBytes: { seen: 0, atMost: 2_000 },
    toPostgresBytes: { seen: 0, atMost: 2_000 },
    fromPostgresBytes: { seen: 0, atMost: 2_000 },
    redisCommands: { seen: 72_500, atMost: 73_200 },
    toRedisBytes: { seen: 6_500_000, atMost: 7_150_000 },
    fromRedisBytes: { seen: 990_000, atMost: 1_090_000 },
    toOrchestratorsBytes: { seen: 177_000, atMost: 186_000 },
    toCallersBytes: { seen: 904_000, atMost: 949_000 },
  },
};
