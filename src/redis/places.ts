// Owns the place of the connection that counts: how it is taken and given up, many at a time.
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { createBatcher } from '../batcher.ts';
import { hideCredentials, hideCredentialsInText } from '../credentials.ts';
import type { Keys } from './keys.ts';
import type { PresenceEntry } from './live-list.ts';
import type { Owner, Presence } from './presence.ts';
import { loadScript } from './script.ts';

interface Claim {
  id: string;
  epoch: number;
  entry: PresenceEntry;
  lastSeenMs: number;
}

type Claimed = Awaited<ReturnType<Presence['claim']>>;

export interface Places extends Pick<Presence, 'claim' | 'release'> {
  /** The same as `release`, for a connection of another node. */
  releaseOf(owner: Owner, orchestratorId: string): Promise<void>;
}

/** Redis does nothing else meanwhile: a script of so many takes less than a millisecond. */
const mostTogether = 100;

const claimReplies = z.array(
  z.union([z.tuple([z.literal(1), z.string()], z.string()), z.tuple([z.literal(0), z.string()])]),
);
const releaseReplies = z.array(z.literal([0, 1]));

export function createPlaces({ redis, keys, nodeId }: { redis: Redis; keys: Keys; nodeId: string }): Places {
  const claimScript = loadScript(redis, 'claim');
  const releaseScript = loadScript(redis, 'release');

  const claims = createBatcher<Claim, Claimed>({
    maxBatch: mostTogether,
    async flush(batch) {
      const replies = await claimScript(
        [
          ...[keys.owners, keys.presence(nodeId), keys.lastSeen, keys.nodes, keys.changes],
          ...batch.map(({ id }) => keys.parked(id)),
        ],
        [nodeId, keys.presence(''), ...batch.flatMap(argumentsOf)],
      );
      return claimReplies.parse(replies).map((reply, at): Claimed => {
        if (reply[0] === 1)
          return { accepted: true, previous: asOwner(reply[1]), parked: reply.slice(2).map(String) };
        return {
          accepted: false,
          owner: asOwner(reply[1]) ?? { epoch: batch[at]?.epoch ?? 0, nodeId },
        };
      });
    },
    onFailure: () => 'refuse',
  });

  const releases = createBatcher<{ id: string; epoch: number }, boolean>({
    maxBatch: mostTogether,
    flush: (batch) =>
      release(
        nodeId,
        batch.flatMap(({ id, epoch }) => [id, epoch]),
      ),
    onFailure: () => 'refuse',
  });

  async function release(of: string, idsAndEpochs: readonly (string | number)[]): Promise<boolean[]> {
    const replies = await releaseScript(
      [keys.owners, keys.presence(of), keys.lastSeen, keys.changes],
      [of, ...idsAndEpochs],
    );
    return releaseReplies.parse(replies).map((reply) => reply === 1);
  }

  return {
    claim: (id, claim) => claims.add(id, { id, ...claim }),
    release: (id, epoch) => releases.add(id, { id, epoch }),
    async releaseOf(owner, id) {
      await release(owner.nodeId, [id, owner.epoch]);
    },
  };
}

function argumentsOf({ id, epoch, entry, lastSeenMs }: Claim): (string | number)[] {
  // Here, where every entry passes once: ten thousand are read at a time.
  const { organization_id, name, connected_at, metadata } = entry;
  const shown = {
    organization_id,
    name: hideCredentialsInText(name),
    connected_at,
    metadata: hideCredentials(metadata),
  };
  return [id, epoch, JSON.stringify(shown), lastSeenMs];
}

/** @param text as Redis keeps it, `{epoch} {node_id}`; empty for nobody */
export function asOwner(text: string): Owner | undefined {
  const space = text.indexOf(' ');
  if (space < 0) return undefined;
  return { epoch: Number(text.slice(0, space)), nodeId: text.slice(space + 1) };
}
