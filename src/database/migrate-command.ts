// The command `npm run migrate`: migrates what DATABASE_URL names.
import { migrate } from './migrate.ts';

const url = process.env.DATABASE_URL;
if (url === undefined || url === '') {
  console.error(
    'DATABASE_URL is not set: say which database to migrate, for example postgres://user:password@host/moolai',
  );
  process.exit(2);
}
try {
  const applied = await migrate(url);
  for (const name of applied) console.log(`applied ${name}`);
  console.log(
    applied.length === 0
      ? 'The schema is up to date.'
      : `The schema is up to date: ${applied.length} applied.`,
  );
} catch (error) {
  console.error(`The migration failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
