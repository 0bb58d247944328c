// Owns the reading of a command's flags: what they are, or what is wrong with them, for a person.
import { parseArgs } from 'node:util';
import { z } from 'zod';

/**
 * The flags of this process, each a text that the schema takes.
 * @param words the name under which the schema takes what is no flag, as a list; absent where there is none
 * @returns undefined where there is nothing to do: the help was shown, or what is wrong (exit code 2)
 */
export function readFlags<Flags extends z.ZodType>(
  names: readonly string[],
  schema: Flags,
  usage: string,
  words?: string,
): z.output<Flags> | undefined {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: words !== undefined,
      options: {
        ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help !== true)
      return schema.parse(words === undefined ? values : { ...values, [words]: positionals });
    process.stdout.write(usage);
  } catch (error) {
    const faults =
      error instanceof z.ZodError
        ? error.issues
            .map(({ path, message }) => `${path[0] === words ? '' : `--${String(path[0])}: `}${message}`)
            .join('\n')
        : // Node advises besides how to give a word that looks like a flag: no command takes such a word.
          error instanceof Error && error.message.replace(/\. To specify a positional argument .*$/s, '');
    process.stderr.write(`${faults}\n\n${usage}`);
    process.exitCode = 2;
  }
  return undefined;
}
