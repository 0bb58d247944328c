// Owns the list of contests, in the order in which they are held.
import type { Contest } from './contest.ts';
import { heartbeats } from './contests/heartbeats.ts';
import { send } from './contests/send.ts';

export const contests: readonly Contest[] = [heartbeats, send];
