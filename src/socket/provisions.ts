// Owns giving one orchestrator its configuration: with its handshake, and whenever it asks.
import type { Socket } from 'socket.io';
import type { Introduced } from '../database/statements/handshakes.ts';
import type { Provisioning } from '../fleet/provisioning.ts';
import type { Log } from '../log.ts';
import type { Identity } from './identity.ts';
import type { Notices } from './notices.ts';
import { deregistered } from './protocol.ts';
import type { Session } from './sessions.ts';

export interface Provisions {
  /** What its handshake has just read. */
  first(orchestratorId: string, introduced: Introduced): void;
  /** What there is now. One answer serves all who ask while it is on its way. */
  again(session: Session): Promise<void>;
}

export function createProvisions(context: {
  socket: Socket;
  provisioning: Provisioning;
  notices: Notices;
  identity: Pick<Identity, 'stays'>;
  log: Log;
}): Provisions {
  const { socket, provisioning, notices, log, identity } = context;
  let isUnderWay = false;

  return {
    first(id, introduced) {
      socket.emit('provision_config', provisioning.present(id, introduced));
      log.info({ event: 'provision', orchestrator_id: id }, `[C-OCS] Initial provisioning sent to ${id}`);
    },
    async again({ connection: { orchestratorId: id } }) {
      if (isUnderWay) return;
      isUnderWay = true;
      const config = await provisioning.read(id).finally(() => {
        isUnderWay = false;
      });
      if (config === undefined) return notices.end(deregistered(id));
      // It may have been moved meanwhile: what another organization has set is not for its token.
      if (!identity.stays(id, config.data.organization_id)) return;
      socket.emit('provision_config', config);
      log.info({ event: 'provision', orchestrator_id: id }, `[C-OCS] Provisioning sent to ${id}`);
    },
  };
}
