// A rolling restart under load, with the settings as they are shipped: each replica says first that it is not ready,
// ends within its deadline with nothing left of it, and no heartbeat and no message is lost meanwhile.
import { get } from 'node:http';
import test from 'ava';
import { connectOrchestrator } from '../../src/local/orchestrator-client.ts';
import { openBalancer } from '../chaos/balancer.ts';
import { openCluster } from '../support/cluster.ts';
import type { ReplicaProcess } from '../support/replica-process.ts';
import { findLost, findRemains, liveOn, living } from '../support/standing.ts';
import { until } from '../support/until.ts';

const orchestrators = 300;
const sendEveryMs = 40;
/** So many of them are sent messages, so that each gets several. */
const addressed = 100;
const deadlineMs = 20_000;

interface Member {
  readonly orchestratorId: string;
  readonly processed: string[];
  /** The message_id of each frame, without repeats. */
  readonly frames: string[];
  isConnected(): boolean;
  stop(): void;
}

interface Sent {
  readonly to: string;
  readonly via: string;
  /** 0 where nobody answered; `body` says why then. */
  readonly status: number;
  /** Sorts in the order in which one replica accepted them. */
  readonly messageId: string;
  readonly body: unknown;
}

test('a rolling restart of three replicas loses no heartbeat and fails no message', async (t) => {
  t.timeout(150_000);
  await using cluster = await openCluster({
    replicas: 3,
    // Time to move, and to answer, for those who share two cores with three replicas, and with other tests.
    config: {
      socket: { heartbeatIntervalMs: 2_000 },
      shutdown: { reconnectGraceMs: 9_000 },
      redis: { commandTimeoutMs: 10_000 },
    },
  });
  const rotation = new Set(cluster.replicas);
  const draw = () => [...rotation][Math.floor(Math.random() * rotation.size)];
  await using ending = new AsyncDisposableStack();
  const balancer = ending.adopt(await openBalancer(() => draw()?.port), (it) => it.close());
  const fleet = Array.from({ length: orchestrators }, (_, nth) => join(balancer.url, `rolls-${nth}`));
  ending.defer(() => fleet.forEach((member) => void member.stop()));
  await until('the fleet to be there', () =>
    fleet.every((each) => each.isConnected() && each.processed.length > 0),
  );

  const sends: Promise<Sent>[] = [];
  const traffic = setInterval(() => {
    const via = draw();
    const member = fleet[Math.floor(Math.random() * addressed)];
    // Two at once, whose order must hold.
    if (via !== undefined && member !== undefined) sends.push(send(via, member), send(via, member));
  }, sendEveryMs);
  ending.defer(() => clearInterval(traffic));

  for (const replica of cluster.replicas.slice()) {
    const heard = listen(replica, () => void rotation.delete(replica));
    const { code, ms } = await replica.stop();
    t.is(code, 0, replica.output());
    t.true(ms < deadlineMs, `stopped within ${ms} ms`);
    t.deepEqual(await findRemains(cluster), []);
    const answers = await heard;
    t.regex(answers.join(' '), /^(200 )*(503 )+refused$/, 'not ready first, then closed');
    t.log(
      `stopped within ${Math.round(ms)} ms, ${answers.filter((each) => each === '503').length} times 503`,
    );
    const replacement = await cluster.startReplica();
    await until('the replacement to be ready', async () => (await ask(replacement)) === '200');
    rotation.add(replacement);
  }
  clearInterval(traffic);

  const answers = await Promise.all(sends);
  t.log(`${answers.length} messages were sent meanwhile`);
  t.deepEqual(
    answers.filter((answer) => answer.status !== 200),
    [],
  );
  for (const { orchestratorId, frames } of fleet) {
    const its = answers.filter((answer) => answer.to === orchestratorId);
    t.deepEqual(
      frames.toSorted(),
      its.map((answer) => answer.messageId).toSorted(),
      'each was received, once',
    );
    for (const [via, sent] of Map.groupBy(its, (answer) => answer.via)) {
      const ids = new Set(sent.map((answer) => answer.messageId));
      const received = frames.filter((id) => ids.has(id));
      t.deepEqual(received, received.toSorted(), `in the order in which ${via} accepted them`);
    }
  }
  await until('the fleet to be whole', async () => {
    const [row] = await cluster.sql("SELECT count(*) FROM orchestrator_instances WHERE status = 'active'");
    const lives = await Promise.all(living(cluster).map(liveOn));
    return (
      fleet.every((each) => each.isConnected()) &&
      Number(row?.count) === orchestrators &&
      lives.every((live) => Object.keys(live).length === orchestrators)
    );
  });
  t.deepEqual(await findLost(cluster, fleet), []);
  t.deepEqual(await findRemains(cluster), []);
});

function join(url: string, orchestratorId: string): Member {
  const processed: string[] = [];
  const frames: string[] = [];
  const orchestrator = connectOrchestrator({
    url,
    orchestratorId,
    backoff: { baseMs: 100, capMs: 1_000 },
    onFrame: (frame) => void frames.push(frame.message_id),
    onEvent(event) {
      if (event.type === 'beat' && event.status === 'processed' && event.ts !== undefined)
        processed.push(event.ts);
    },
  });
  return {
    orchestratorId,
    processed,
    frames,
    isConnected: () => orchestrator.state === 'connected',
    stop: orchestrator.stop,
  };
}

async function send(via: ReplicaProcess, { orchestratorId: to }: Member): Promise<Sent> {
  try {
    const answer = await via.api.post(`/api/v1/internal/orchestrators/${to}/send`, {
      type: 'note',
      timeout_ms: 30_000,
    });
    return {
      to,
      via: via.nodeId,
      status: answer.status,
      messageId: String(answer.body.message_id),
      body: answer.body,
    };
  } catch (error) {
    return { to, via: via.nodeId, status: 0, messageId: '', body: error };
  }
}

/** What a replica says of its readiness, from now until nobody answers. */
async function listen(replica: ReplicaProcess, notReady: () => void): Promise<string[]> {
  const answers: string[] = [];
  await until('the replica to close', async () => {
    const answer = await ask(replica);
    if (answer !== '200') notReady();
    answers.push(answer);
    return answer === 'refused';
  });
  return answers;
}

/** On a connection of its own: one that stays open says nothing about the listener. */
function ask({ url }: ReplicaProcess): Promise<string> {
  return new Promise((resolve) => {
    get(`${url}/health/ready`, { agent: false }, (response) => {
      response.resume();
      resolve(String(response.statusCode));
    }).on('error', () => resolve('refused'));
  });
}
