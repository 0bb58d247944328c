// What a replica tells its primary; beside it sticky sends messages with types of its own.

/** The replica answers calls. */
export const readyMessage = { type: 'replica:ready' } as const;

export function isReadyMessage(message: unknown): boolean {
  return (
    message !== null && typeof message === 'object' && 'type' in message && message.type === readyMessage.type
  );
}
