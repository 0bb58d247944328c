// What each statement costs with a pooler in between, and what bounds it: as many ways to Postgres as without.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import test from 'ava';
import { type Database, openDatabase } from '../../src/database/database.ts';
import { OrchestratorMessage } from '../../src/database/orchestrator-messages.ts';
import { createLogs } from '../../src/log.ts';
import { openWorld } from '../support/world.ts';

const stack = new AsyncDisposableStack();
const world = stack.adopt(await openWorld(), (it) => it.close());
test.after.always(() => stack.disposeAsync());

const poolers = ['none', 'transaction'] as const;
const { log } = createLogs({ level: 'silent', ringLevel: 'silent', nodeId: 'node', ring: { write() {} } });

interface Link extends AsyncDisposable {
  readonly url: string;
  /** How often the client spoke again after it had heard from the server. */
  turns(): number;
}

/** A way to Postgres on which answers take long enough that all which does not wait for them is sent before. */
async function openSlowLink(): Promise<Link> {
  const url = new URL(world.settings.database.url);
  const target = { host: url.hostname, port: Number(url.port) };
  const sockets = new Set<Socket>();
  let turns = 0;
  const server = createServer((client) => {
    const store = connect(target);
    let hasHeard = true;
    for (const socket of [client, store]) {
      socket.setNoDelay(true);
      sockets.add(socket.on('error', () => undefined));
    }
    client.on('data', (chunk: Buffer) => {
      if (hasHeard) turns += 1;
      hasHeard = false;
      store.write(chunk);
    });
    store.on('data', (chunk: Buffer) => {
      setTimeout(() => {
        hasHeard = true;
        client.write(chunk);
      }, 30);
    });
    client.on('close', () => store.destroy());
    store.on('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  url.port = String(typeof address === 'object' && address !== null ? address.port : 0);
  return {
    url: url.href,
    turns: () => turns,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function open(pooler: (typeof poolers)[number], url: string, statementTimeoutMs = 20_000) {
  const options = { ...world.settings.database, url, pooler, poolSize: 1, statementTimeoutMs, log };
  const database = await openDatabase(options);
  return { database, [Symbol.asyncDispose]: () => database.close() };
}

for (const pooler of poolers) {
  test(`one statement is one way there and back, of two in a transaction each one more (${pooler})`, async (t) => {
    await using link = await openSlowLink();
    await using it = await open(pooler, link.url);
    const { database } = it;
    const cost = async (work: () => Promise<unknown>) => {
      const before = link.turns();
      await work();
      return link.turns() - before;
    };
    // The connection is made by the first.
    await database.query('SELECT 1');
    t.is(await cost(() => database.query('SELECT $1::int', [1])), 1);
    t.is(await cost(() => database.batches.query('SELECT $1::int', [1])), 1);
    t.is(await cost(() => database.fork().count(OrchestratorMessage)), 1);
    const two = () =>
      database.transaction(async (query) => {
        await query('SELECT 1');
        await query('SELECT $1::int', [2]);
      });
    // Its begin, the two, and its end.
    t.is(await cost(two), 4);
  });

  test(`a session keeps a statement that is to be prepared only where no pooler hands it on (${pooler})`, async (t) => {
    await using it = await open(pooler, world.settings.database.url);
    const { query } = it.database;
    const text = 'SELECT $1::int AS one';
    for (const one of [1, 2]) t.deepEqual(await query(text, [one], { prepared: true }), [{ one }]);
    const kept = await query('SELECT statement FROM pg_prepared_statements');
    t.deepEqual(kept, pooler === 'none' ? [{ statement: text }] : []);
  });

  test(`the server ends what takes too long, alone and in a transaction (${pooler})`, async (t) => {
    await using it = await open(pooler, world.settings.database.url, 300);
    const { database } = it;
    const slow = 'SELECT pg_sleep(15)';
    const asks: ((database: Database) => Promise<unknown>)[] = [
      ({ query }) => query(slow),
      ({ transaction }) => transaction((query) => query(slow)),
    ];
    for (const ask of asks) {
      const error = await t.throwsAsync(ask(database));
      t.is(Reflect.get(error ?? {}, 'code'), '57014');
    }
    t.deepEqual(await database.query('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test(`what fails alone is not written, and the connection is used again (${pooler})`, async (t) => {
    await using it = await open(pooler, world.settings.database.url);
    const { database } = it;
    const id = `refused-${pooler}`;
    const insert = `INSERT INTO organizations (organization_id, name)
      SELECT $1::text, CASE WHEN n = 2 THEN NULL ELSE 'x' END FROM generate_series(1, 2) AS n ON CONFLICT DO NOTHING`;
    t.is(Reflect.get((await t.throwsAsync(database.query(insert, [id]))) ?? {}, 'code'), '23502');
    t.deepEqual(await world.sql('SELECT 1 FROM organizations WHERE organization_id = $1', [id]), []);
    await database.query('INSERT INTO organizations (organization_id, name) VALUES ($1::text, $1::text)', [
      id,
    ]);
    t.is((await world.sql('SELECT 1 FROM organizations WHERE organization_id = $1', [id])).length, 1);
  });

  test(`a transaction that Postgres rolled back is not taken for a commit, though nobody told of the failure (${pooler})`, async (t) => {
    await using it = await open(pooler, world.settings.database.url);
    const id = `rolled-back-${pooler}`;
    const insert = 'INSERT INTO organizations (organization_id, name) VALUES ($1::text, $1::text)';
    const insertTwice = it.database.transaction(async (query) => {
      await query(insert, [id]);
      await query(insert, [id]).catch(() => undefined);
    });
    await t.throwsAsync(insertTwice, { message: /rolled back/ });
    t.deepEqual(await world.sql('SELECT 1 FROM organizations WHERE organization_id = $1', [id]), []);
    t.deepEqual(await it.database.query('SELECT 1 AS one'), [{ one: 1 }]);
  });
}

test('what Postgres finds only at the commit is a failure of the statement', async (t) => {
  await world.sql('CREATE TABLE late (id int, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)');
  await using it = await open('transaction', world.settings.database.url);
  const error = await t.throwsAsync(it.database.query('INSERT INTO late VALUES (1), (1)'));
  t.is(Reflect.get(error ?? {}, 'code'), '23505');
});
