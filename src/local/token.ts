// Owns the command `npm run token`: mints a token that the controller accepts.
import { z } from 'zod';
import { roles } from '../access/roles.ts';
import { identifier } from '../fleet/identifiers.ts';
import { readFlags } from './flags.ts';
import { keyFileIn, localFolder, mintLocally, openKeyFile, parseKeys } from './key-file.ts';

const usage = `Usage: npm run token -- --role ROLE [options]

Prints a token on standard output, and on standard error what it is good for.

  --role ROLE             ${roles.join(', ')}
  --days D                how long it is valid, at most 3650 (default: 1); 0.04 is an hour
  --subject NAME          who it is for (default: the role); of an orchestrator its id
  --organizations LIST    confines it to these organizations, with commas between
  --orchestrators LIST    of a gateway: the orchestrators that it speaks for, with commas between
  --help                  shows this

It is signed with the first key of AUTH_KEYS that can sign; without AUTH_KEYS with that of the local mode, which is made
if there is none. \`npm start\` asks for tokens as soon as there is one.
`;

const list = z
  .string()
  .transform((text) => text.split(','))
  .pipe(z.array(identifier));
const flagsSchema = z
  .object({
    role: z.enum(roles, { error: `must be one of ${roles.join(', ')}` }),
    days: z.coerce
      .number({ error: 'must be a number' })
      .positive({ error: 'must be more than 0' })
      .max(3_650, { error: 'must be at most 3650' })
      .default(1),
    subject: z
      .string()
      .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 printable characters without a space')
      .optional(),
    organizations: list.optional(),
    orchestrators: list.optional(),
  })
  .refine(
    ({ role, subject, orchestrators }) =>
      role !== 'orchestrator' || orchestrators !== undefined || identifier.safeParse(subject).success,
    { path: ['subject'], message: 'must be the id of the orchestrator, unless there are --orchestrators' },
  );

const dayMs = 86_400_000;

const flags = readFlags(['role', 'days', 'subject', 'organizations', 'orchestrators'], flagsSchema, usage);
if (flags !== undefined)
  try {
    await mint(flags);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }

async function mint({
  role,
  days,
  subject = role,
  organizations,
  orchestrators,
}: z.output<typeof flagsSchema>) {
  const { json, where } = await findKeys();
  const jwk = parseKeys(json, where).find((key) => key.kty === 'oct' || key.d !== undefined);
  if (jwk === undefined) throw new Error(`${where} has public keys alone: they verify, and sign nothing`);
  const validMs = days * dayMs;
  const token = await mintLocally(jwk, { subject, role, organizations, orchestrators, validMs });
  const gateway = orchestrators === undefined ? '' : `, for the orchestrators ${orchestrators.join(', ')}`;
  const confined = organizations === undefined ? '' : `, for ${organizations.join(', ')} alone`;
  process.stderr.write(
    `A token of ${subject} with the role ${role}${gateway}${confined}, until ${new Date(Date.now() + validMs).toISOString()}, signed with ${jwk.kid === undefined ? 'the key' : `key ${jwk.kid}`} of ${where}\n`,
  );
  process.stdout.write(`${token}\n`);
}

async function findKeys(): Promise<{ json: string; where: string }> {
  const given = process.env.AUTH_KEYS;
  if (given !== undefined && given !== '') return { json: given, where: 'AUTH_KEYS' };
  const where = keyFileIn(localFolder());
  const { json, made } = await openKeyFile(where);
  if (made)
    process.stderr.write(
      `A key was made, ${where}: from its next start on, npm start asks for tokens. Delete the file to go back.\n`,
    );
  return { json, where };
}
