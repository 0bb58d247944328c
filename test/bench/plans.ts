// Owns the plans of the statements that a replica really sends, as Postgres's auto_explain tells them.
// https://www.postgresql.org/docs/current/auto-explain.html
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Cluster } from '../support/cluster.ts';
import type { ReplicaProcess } from '../support/replica-process.ts';

const nodeSchema = z.object({
  'Node Type': z.string(),
  'Relation Name': z.string().optional(),
  'Index Name': z.string().optional(),
  'Actual Rows': z.number(),
  'Actual Loops': z.number(),
  'Shared Hit Blocks': z.number(),
  'Shared Read Blocks': z.number(),
  get Plans() {
    return z.array(nodeSchema).optional();
  },
});
type PlanNode = z.infer<typeof nodeSchema>;
const loggedSchema = z.object({ 'Query Text': z.string(), Plan: nodeSchema });

export interface Plan {
  readonly statement: string;
  /** What it reads rows with: tables that are read whole, and indexes, each with its rows. */
  readonly scans: readonly Scan[];
  /** Pages that it looked at. */
  readonly pages: number;
}

export interface Scan {
  readonly how: string;
  readonly what: string;
  readonly rows: number;
}

export interface Explained {
  /** Reaches a replica whose statements are explained, each as it is run. */
  readonly replica: ReplicaProcess;
  /** The plans of the statements on these tables that `work` leads to. */
  during(work: () => Promise<unknown>): Promise<Plan[]>;
}

const settings = {
  session_preload_libraries: 'auto_explain',
  'auto_explain.log_min_duration': '0',
  'auto_explain.log_analyze': 'on',
  'auto_explain.log_buffers': 'on',
  'auto_explain.log_format': 'json',
};

/** One replica more in the cluster, for looking at it: what is explained is slower. */
export async function startExplained(cluster: Cluster, env: NodeJS.ProcessEnv = {}): Promise<Explained> {
  const PGOPTIONS = Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ');
  const replica = await cluster.startReplica({ env: { ...env, PGOPTIONS } });
  const log = () => readFile(join(cluster.folder, 'postgres', 'postgres.log'), 'utf8');
  return {
    replica,
    async during(work) {
      const before = (await log()).length;
      await work();
      const plans = plansIn((await log()).slice(before));
      return plans.filter(({ statement }) => /\bfrom\s+"?(?:orchestrator|organization)/i.test(statement));
    },
  };
}

/** Each is an entry of its own, whose further lines begin with a tab. */
function plansIn(log: string): Plan[] {
  return [...log.matchAll(/ plan:\n((?:\t.*\n)+)/g)].map(([, entry = '']) => {
    const { 'Query Text': statement, Plan: plan } = loggedSchema.parse(JSON.parse(entry));
    return {
      statement: statement.replaceAll(/\s+/g, ' ').trim(),
      scans: scansOf(plan),
      pages: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
    };
  });
}

function scansOf(node: PlanNode): Scan[] {
  const below = (node.Plans ?? []).flatMap(scansOf);
  const what = node['Index Name'] ?? node['Relation Name'];
  if (what === undefined) return below;
  return [{ how: node['Node Type'], what, rows: node['Actual Rows'] * node['Actual Loops'] }, ...below];
}

/** In one line, for a person. */
export function describePlan({ scans, pages }: Plan): string {
  const told = scans.map(({ how, what, rows }) => `${how} on ${what} (${Math.round(rows)} rows)`);
  return `${told.join(', ')}; ${pages} pages`;
}
