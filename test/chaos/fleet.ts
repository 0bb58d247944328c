// Owns the fleet under chaos: each orchestrator keeps itself connected and writes down what it is told.
import { connectOrchestrator, type Orchestrator } from '../../src/local/orchestrator-client.ts';
import type { Ledger } from './ledger.ts';
import type { Random } from './random.ts';

export interface Member {
  readonly id: string;
  readonly orchestrator: Orchestrator;
  /** What the newest handshake was acknowledged with. */
  epoch: number;
  nodeId: string;
  /** Since when it has had this connection, ms; meaningless without one. */
  connectedAtMs: number;
}

export interface Fleet extends Disposable {
  readonly members: readonly Member[];
  readonly connected: number;
}

export function openFleet(options: {
  count: number;
  url: string;
  backoff: { baseMs: number; capMs: number };
  ledger: Ledger;
  random: Random;
}): Fleet {
  const { ledger } = options;
  let isOver = false;

  function join(at: number): Member {
    const id = `chaos-${String(at + 1).padStart(4, '0')}`;
    const random = options.random.fork();
    const orchestrator = connectOrchestrator({
      url: options.url,
      orchestratorId: id,
      backoff: options.backoff,
      random: random.next,
      onFrame(frame) {
        ledger.handled(id, frame);
        return frame.data;
      },
      onEvent(event) {
        switch (event.type) {
          case 'connected':
            member.epoch = Number(event.handshakeAck.epoch);
            member.nodeId = String(event.handshakeAck.node_id);
            member.connectedAtMs = Date.now();
            return;
          case 'beat':
            if (event.status === 'processed' && event.ts !== undefined) ledger.beat(id, event.ts);
            else ledger.broke('heartbeat not processed', `${id} was told ${JSON.stringify(event)}`);
            return;
          case 'frame':
            if (event.repeat) ledger.count.repeats += 1;
            return;
          case 'stopped':
            if (!isOver) ledger.broke('orchestrator sent away', `${id}: ${JSON.stringify(event.outcome)}`);
            return;
          case 'malformed':
          case 'frame_failed':
            return ledger.broke('orchestrator not understood', `${id}: ${JSON.stringify(event)}`);
          case 'complaint':
          case 'waiting':
            if (/deadlock/i.test(event.message)) ledger.broke('deadlock told', `${id}: ${event.message}`);
            return;
          default:
            return;
        }
      },
    });
    const member: Member = { id, orchestrator, epoch: 0, nodeId: '', connectedAtMs: 0 };
    return member;
  }

  const members = Array.from({ length: options.count }, (_, at) => join(at));
  return {
    members,
    get connected() {
      return members.filter(({ orchestrator }) => orchestrator.state === 'connected').length;
    },
    [Symbol.dispose]() {
      isOver = true;
      for (const { orchestrator } of members) orchestrator.stop();
    },
  };
}
