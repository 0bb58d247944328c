// Owns the list of contests, in the order in which they are held.
import type { Contest } from './contest.ts';
import { heartbeats } from './contests/heartbeats.ts';
import { lists } from './contests/lists.ts';
import { live } from './contests/live.ts';
import { logs } from './contests/logs.ts';
import { memory } from './contests/memory.ts';
import { scaling } from './contests/scaling.ts';
import { send } from './contests/send.ts';
import { start } from './contests/start.ts';
import { storm } from './contests/storm.ts';

export const contests: readonly Contest[] = [
  heartbeats,
  scaling,
  send,
  storm,
  memory,
  live,
  lists,
  logs,
  start,
];
