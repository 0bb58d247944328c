// Which Redis the local mode runs, and where it comes from.
import { findProgram, type InstallOptions } from './system-install.ts';

/** Resolves to the path of redis-server or valkey-server. Rejects with one line that says what to do. */
export const findRedis = (options: InstallOptions): Promise<string> =>
  findProgram(
    {
      name: 'Redis',
      commands: ['redis-server', 'valkey-server'],
      aptPackage: 'redis-server',
      brewFormula: 'redis',
      advice:
        'install redis-server (Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis), or set REDIS_URL for npm start',
    },
    options,
  );
