// Owns giving one orchestrator its configuration: with its handshake, and whenever it asks.
import type { Socket } from 'socket.io';
import type { Introduced } from '../database/statements/handshakes.ts';
import type { Provisioning } from '../fleet/provisioning.ts';
import type { Log } from '../log.ts';
import type { Identity } from './identity.ts';
import type { Notices } from './notices.ts';
import { deregistered } from './protocol.ts';
import type { Session } from './sessions.ts';
import { emitJson } from './write-once.ts';

export interface Provisions {
  /** What its handshake has just read. */
  first(orchestratorId: string, introduced: Introduced): void;
  /** What there is now. One answer serves all who ask while it is on its way. */
  again(session: Session): Promise<void>;
}

interface ProvisionsContext {
  readonly provisioning: Provisioning;
  readonly log: Log;
}

/** The connection's, as far as its configuration has to do with it. */
interface Recipient {
  readonly socket: Socket;
  readonly notices: Notices;
  readonly identity: Pick<Identity, 'stays'>;
}

export function createProvisions(recipient: Recipient, context: ProvisionsContext): Provisions {
  return new SocketProvisions(recipient, context);
}

class SocketProvisions implements Provisions {
  readonly #recipient: Recipient;
  readonly #context: ProvisionsContext;
  #isUnderWay = false;

  constructor(recipient: Recipient, context: ProvisionsContext) {
    this.#recipient = recipient;
    this.#context = context;
  }

  first(id: string, introduced: Introduced): void {
    const { provisioning, log } = this.#context;
    const config = provisioning.present(id, introduced);
    emitJson(this.#recipient.socket, config.type, JSON.stringify(config));
    log.info({ event: 'provision', orchestrator_id: id }, `[C-OCS] Initial provisioning sent to ${id}`);
  }

  async again({ connection: { orchestratorId: id } }: Session): Promise<void> {
    const { socket, notices, identity } = this.#recipient;
    const { provisioning, log } = this.#context;
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    const config = await provisioning.read(id).finally(() => {
      this.#isUnderWay = false;
    });
    if (config === undefined) return notices.end(deregistered(id));
    // It may have been moved meanwhile: what another organization has set is not for its token.
    if (!identity.stays(id, config.data.organization_id)) return;
    socket.emit('provision_config', config);
    log.info({ event: 'provision', orchestrator_id: id }, `[C-OCS] Provisioning sent to ${id}`);
  }
}
