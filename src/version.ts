// Owns which version of the controller this is.
import { createRequire } from 'node:module';
import { z } from 'zod';

/** As package.json has it. */
export const { version } = z
  .object({ version: z.string() })
  .parse(createRequire(import.meta.url)('../package.json'));
