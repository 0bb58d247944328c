// Owns the list of contests, in the order in which they are held.
import type { Contest } from './contest.ts';
import { heartbeats } from './contests/heartbeats.ts';
import { live } from './contests/live.ts';
import { logs } from './contests/logs.ts';

export const contests: readonly Contest[] = [heartbeats, live, logs];
