// Owns the reading of a command's flags: what they are, or what is wrong with them, for a person.
import { parseArgs } from 'node:util';
import { z } from 'zod';

/**
 * The flags of this process, each a text that the schema takes.
 * @returns undefined where there is nothing to do: the help was shown, or what is wrong (exit code 2)
 */
export function readFlags<Flags extends z.ZodType>(
  names: readonly string[],
  schema: Flags,
  usage: string,
): z.output<Flags> | undefined {
  try {
    const { values } = parseArgs({
      options: {
        ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help !== true) return schema.parse(values);
    process.stdout.write(usage);
  } catch (error) {
    const faults =
      error instanceof z.ZodError
        ? error.issues.map(({ path, message }) => `--${String(path[0])}: ${message}`).join('\n')
        : error instanceof Error && error.message;
    process.stderr.write(`${faults}\n\n${usage}`);
    process.exitCode = 2;
  }
  return undefined;
}
