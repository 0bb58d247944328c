// Owns what is said of the machine that figures come from.
import { cpus, totalmem } from 'node:os';
import { z } from 'zod';

export const machineSchema = z.object({
  processor: z.string(),
  cores: z.int(),
  memoryBytes: z.int(),
  node: z.string(),
  at: z.iso.datetime(),
});
export type Machine = z.infer<typeof machineSchema>;

export function describeMachine(): Machine {
  const all = cpus();
  return {
    processor: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryBytes: totalmem(),
    node: process.version,
    at: new Date().toISOString(),
  };
}
