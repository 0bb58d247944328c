// Owns reading `/metrics` in tests, and the README's table of them.
import { readFile } from 'node:fs/promises';
import type { Api } from './api.ts';

export interface Family {
  readonly type: string;
  readonly help: string;
  /** Every label that a sample of it has. */
  readonly labels: Set<string>;
}

export interface Scrape {
  /** By name, as Prometheus has it: a histogram is one. */
  readonly families: Map<string, Family>;
  /** The sample that is written so, such as `moolai_sends_total{outcome="queued"}`; undefined if there is none. */
  value(sample: string): number | undefined;
  /** The labels of every sample of this name. */
  labelsOf(name: string): Record<string, string>[];
}

export async function scrape(api: Api): Promise<Scrape> {
  const { body } = await api.get('/metrics');
  const lines: string[] = String(body).split('\n');
  const families = new Map<string, Family>();
  const samples = new Map<string, number>();
  const help = new Map<string, string>();
  for (const line of lines) {
    const [, keyword, about = '', text = ''] = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line) ?? [];
    if (keyword === 'HELP') help.set(about, text);
    if (keyword === 'TYPE')
      families.set(about, { type: text, help: help.get(about) ?? '', labels: new Set() });
    const [, sample, value] = /^(\w+(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    if (sample !== undefined) samples.set(sample, Number(value));
  }
  for (const sample of samples.keys()) {
    const [name = ''] = sample.split('{');
    const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
    for (const label of Object.keys(labelsIn(sample))) if (label !== 'le') family?.labels.add(label);
  }
  return {
    families,
    value: (sample) => samples.get(sample),
    labelsOf: (name) => [...samples.keys()].filter((each) => each.split('{')[0] === name).map(labelsIn),
  };
}

function labelsIn(sample: string): Record<string, string> {
  const found = sample.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
  return Object.fromEntries([...found].map(([, name = '', value = '']) => [name, value]));
}

/** One sample, at once. */
export async function metric(api: Api, sample: string): Promise<number | undefined> {
  return (await scrape(api)).value(sample);
}

export interface Row {
  readonly type: string;
  readonly labels: string[];
  readonly meaning: string;
}

/** What the README says of each metric, by name. */
export async function metricsTable(): Promise<Map<string, Row>> {
  const text = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const rows = text.matchAll(/^\| `(moolai_\w+)` \| (\w+) \| (.*?) \| (.+) \|$/gm);
  return new Map(
    [...rows].map(([, name = '', type = '', labels = '', meaning = '']) => [
      name,
      { type, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label), meaning },
    ]),
  );
}
