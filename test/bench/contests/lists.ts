// Owns the contest of lists: pages of orchestrators and messages, beside the same queries by hand.
import { isDeepStrictEqual } from 'node:util';
import { createApi } from '../../support/api.ts';
import { newSecretKey, tokenOf } from '../../support/tokens.ts';
import { openArena } from '../arena.ts';
import type { Contest, Contestant, FigureShape, Figures, Stage } from '../contest.ts';
import { type Listed, type ListingLoad, startListingLoad } from '../load/listing.ts';
import { openPeer } from '../peer.ts';
import { describePlan, startExplained } from '../plans.ts';
import { orchestratorName, organizationName, type Planting, plantRows } from '../planting.ts';
import { processorSeconds } from '../usage.ts';

/** One list: what is called, of whom. */
interface Case {
  readonly name: string;
  readonly label: string;
  readonly paths: readonly string[];
  /** The same list where it is written by hand. */
  readonly byHand: readonly string[];
  /** Listed with a token that is confined to some organizations. */
  readonly confined?: boolean;
}

/** Where a list is asked for. */
interface Place {
  readonly url: string;
  readonly pid: number;
  readonly token?: string | undefined;
}

const callers = 10;
/** Before a list is looked at, as a share of how long it then is. */
const warmShare = 0.2;
const years: Planting = { organizations: 500, orchestrators: 2_000, messages: 1_000_000 };
const instancesPath = '/api/v1/controller/orchestrators';
const messagesPath = '/api/v1/internal/messages';
const ofOrchestrator = (id: string) => `/api/v1/internal/orchestrators/${id}/messages`;

const shapes = {
  PerSecond: { label: 'calls a second', unit: '/s' },
  P50Ms: { label: 'answered within, median', unit: 'ms' },
  P99Ms: { label: 'answered within, 99 of 100', unit: 'ms' },
  CpuPerThousand: { label: 'processor time of server and stores for 1,000', unit: 's' },
} as const;

/** Each with its label; the paths depend on what is planted. */
const cases = {
  instances: 'orchestrators, page 1',
  ofOrganization: 'orchestrators of an organization',
  ofOrchestrator: 'messages of an orchestrator',
  all: 'messages, page 1',
  deep: 'messages, page 1,000',
  pending: 'messages, pending',
  confined: 'messages, within 5 organizations',
} as const;

const figures: Record<string, FigureShape> = {
  ...Object.fromEntries(
    Object.entries(cases).flatMap(([name, list]) =>
      Object.entries(shapes).map(([figure, { label, unit }]) => [
        `${name}${figure}`,
        { label: `${list}: ${label}`, unit },
      ]),
    ),
  ),
  deepCost: { label: 'median of page 1,000 in times that of page 1', unit: '' },
  serverCores: { label: 'busy cores of the server', unit: '' },
  driverCores: { label: 'busy cores of the load', unit: '' },
};

export const lists = listsOver(years);

/** @param planting what the tables hold */
export function listsOver(planting: Planting): Contest {
  return {
    name: 'lists',
    title: `Lists over ${planting.messages.toLocaleString('en-US')} messages, ${callers} callers`,
    figures,
    aims: [
      ...Object.keys(cases).flatMap((name) => [
        { figure: `${name}PerSecond`, of: 'controller', to: 'by hand', atLeast: 1 / 1.3 },
        { figure: `${name}P50Ms`, of: 'controller', to: 'by hand', atMost: 1.3 },
      ]),
      { figure: 'deepCost', of: 'controller', atMost: 1.2 },
    ],
    async open(stage) {
      const { closing, note, onProgress } = stage;
      const arena = await openArena(stage, { replicas: 1 });
      const key = newSecretKey();
      const guarded = { AUTH_KEYS: JSON.stringify({ keys: [key] }) };
      const organizations = Array.from({ length: 5 }, (_, at) => organizationName(at * 7));
      const token = await tokenOf(key, 'admin', { organizations });
      const replica = arena.replicas[0];
      if (replica === undefined) throw new Error('no replica');
      const confined: Place = { ...pick(await arena.startReplica({ env: guarded })), token };
      onProgress(`lists: planting ${planting.messages} messages…`);
      await plantRows(arena.sql, planting);
      const peer = closing.use(await openPeer('by-hand', { databaseUrl: arena.postgres.url }));
      const [deepest] = await arena.sql(
        'SELECT id FROM orchestrator_messages ORDER BY created_at DESC, id DESC OFFSET $1 LIMIT 1',
        [Math.min(99_900, Math.floor(planting.messages / 2)) - 1],
      );
      const all = casesOver(planting, String(deepest?.id), organizations);
      await requireSameRows(all, { open: replica, confined, byHand: peer });
      const explained = await startExplained(arena, guarded);
      const everywhere = await tokenOf(key, 'admin');
      for (const { label, paths, confined: isConfined } of all) {
        const api = createApi(explained.replica.url, isConfined ? token : everywhere);
        for (const plan of await explained.during(() => api.get(paths[0] ?? '')))
          note(`${label}: ${describePlan(plan)}`);
      }
      await explained.replica.stop();
      const load = closing.use(await startListingLoad({ callers }));
      const stores = [arena.postgres.pid, arena.redis.pid];
      const measure = measureOn(load, stores, stage);
      const turns = all.map((each) => ({
        name: each.name,
        byHand: () => measure(pick(peer), each.byHand),
        controller: () => measure(each.confined ? confined : pick(replica), each.paths),
      }));
      // Code that has not run yet is slow.
      for (const { controller, byHand } of turns) {
        await byHand();
        await controller();
      }
      return inTurns(turns);
    },
  };
}

/**
 * Both measure one list before they go on to the next: what the machine does meanwhile changes from one second to the
 * other. Whoever's round comes first measures for both.
 */
function inTurns(turns: readonly Turn[]): Contestant[] {
  let others: Figures | undefined;
  async function measureAll(): Promise<{ byHand: Figures; controller: Figures }> {
    const byHand: [name: string, measured: Measured][] = [];
    const controller: [name: string, measured: Measured][] = [];
    for (const turn of turns) {
      byHand.push([turn.name, await turn.byHand()]);
      controller.push([turn.name, await turn.controller()]);
    }
    return { byHand: figuresOf(byHand), controller: figuresOf(controller) };
  }
  return [
    {
      name: 'by hand',
      async round() {
        const { byHand, controller } = await measureAll();
        others = controller;
        return byHand;
      },
    },
    { name: 'controller', round: async () => others ?? (await measureAll()).controller },
  ];
}

const pick = ({ url, pid }: Place): Place => ({ url, pid });

function casesOver(planting: Planting, before: string, organizations: readonly string[]): Case[] {
  const some = Array.from({ length: 50 }, (_, at) => Math.floor((at * planting.orchestrators) / 50));
  const within = `organizations=${organizations.join(',')}`;
  const instances = (query = '') => ({ paths: [instancesPath + query], byHand: [`/instances${query}`] });
  const messages = (query = '') => ({ paths: [messagesPath + query], byHand: [`/messages${query}`] });
  const paths: Record<keyof typeof cases, Omit<Case, 'name' | 'label'>> = {
    instances: instances(),
    ofOrganization: instances(`?organization_id=${organizationName(3)}`),
    ofOrchestrator: {
      paths: some.map((at) => ofOrchestrator(orchestratorName(at))),
      byHand: some.map((at) => `/messages?orchestrator_id=${orchestratorName(at)}`),
    },
    all: messages(),
    deep: messages(`?before=${before}`),
    pending: messages('?status=pending'),
    confined: { paths: [messagesPath], byHand: [`/messages?${within}`], confined: true },
  };
  return Object.entries(paths).map(([name, rest]) => ({ name, label: labelOf(name), ...rest }));
}

const labelOf = (name: string): string => new Map<string, string>(Object.entries(cases)).get(name) ?? name;

/** @throws if the two do not tell the same */
async function requireSameRows(
  all: readonly Case[],
  { open, confined, byHand }: { open: Place; confined: Place; byHand: Place },
): Promise<void> {
  for (const each of all) {
    const place = each.confined ? confined : open;
    const [ours, theirs] = await Promise.all([
      createApi(place.url, place.token).get(each.paths[0] ?? ''),
      createApi(byHand.url).get(each.byHand[0] ?? ''),
    ]);
    const rows = [ours, theirs].map(({ body }) => body.data ?? [body.messages, body.total_count]);
    if (ours.status !== 200 || !isDeepStrictEqual(rows[0], rows[1]))
      throw new Error(`${each.label}: ${JSON.stringify(ours.body)} is not ${JSON.stringify(theirs.body)}`);
  }
}

interface Measured {
  readonly called: Listed;
  /** Seconds of processor time. */
  readonly server: number;
  readonly store: number;
}

interface Turn {
  readonly name: string;
  byHand(): Promise<Measured>;
  controller(): Promise<Measured>;
}

function measureOn(load: ListingLoad, stores: readonly number[], { seconds = 1.5 }: Stage) {
  const storeSeconds = () => stores.reduce((sum, pid) => sum + processorSeconds(pid), 0);
  return async ({ url, pid, token }: Place, paths: readonly string[]): Promise<Measured> => {
    const ms = seconds * 1_000;
    const how = {
      url,
      paths: [...paths],
      warmMs: ms * warmShare,
      ms,
      ...(token === undefined ? {} : { token }),
    };
    let server = 0;
    let store = 0;
    const called = await load.call(how, () => {
      const before = { server: processorSeconds(pid), store: storeSeconds() };
      return () => {
        server = processorSeconds(pid) - before.server;
        store = storeSeconds() - before.store;
      };
    });
    return { called, server, store };
  };
}

function figuresOf(measured: readonly (readonly [name: string, measured: Measured])[]): Figures {
  const told: Record<string, number> = {};
  const sum = { server: 0, load: 0, seconds: 0 };
  for (const [name, { called, server, store }] of measured) {
    told[`${name}PerSecond`] = called.calls / called.seconds;
    told[`${name}P50Ms`] = called.p50Ms;
    told[`${name}P99Ms`] = called.p99Ms;
    told[`${name}CpuPerThousand`] = ((server + store) / called.calls) * 1_000;
    sum.server += server;
    sum.load += called.cores * called.seconds;
    sum.seconds += called.seconds;
  }
  return {
    ...told,
    deepCost: (told.deepP50Ms ?? 0) / (told.allP50Ms ?? 1),
    serverCores: sum.server / sum.seconds,
    driverCores: sum.load / sum.seconds,
  };
}
