// Owns the other end of forked.ts: how a process of a benchmark reads its options, and answers.
import type { z } from 'zod';

/** The options that this process was started with. */
export function readOptions<Options>(schema: z.ZodType<Options>): Options {
  return schema.parse(JSON.parse(process.argv[2] ?? ''));
}

/** Says that it is ready, and answers each request from then on. The process goes when whoever asks does. */
export function serveRequests<Request>(
  ready: unknown,
  requestSchema: z.ZodType<Request>,
  answer: (request: Request) => Promise<unknown>,
): void {
  process.on('disconnect', () => process.exit(0));
  process.on('message', async (text) => {
    const request = requestSchema.parse(JSON.parse(String(text)));
    process.send?.(await answer(request));
  });
  process.send?.(ready);
}

/** Before a longer answer comes. */
export function tell(message: unknown): void {
  process.send?.(message);
}
