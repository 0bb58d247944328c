// Owns processes of a benchmark: each gets its options, says once it is ready, and answers what it is asked, in order.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { z } from 'zod';

export interface Forked<Ready> extends AsyncDisposable {
  readonly pid: number;
  readonly ready: Ready;
  /** Sends a request and takes the next message for its answer: one at a time. @throws if the process ends */
  ask<Answer>(request: unknown, schema: z.ZodType<Answer>): Promise<Answer>;
  /** The next message, to which no request leads. */
  next<Answer>(schema: z.ZodType<Answer>): Promise<Answer>;
}

/** @param file below this folder; it must go when its channel does */
export async function startForked<Ready>(
  file: string,
  options: object,
  readySchema: z.ZodType<Ready>,
  execArgv: string[] = [],
): Promise<Forked<Ready>> {
  const child: ChildProcess = fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(options)], {
    execArgv,
  });
  const ended = once(child, 'exit');
  const failed = ended.then(([code, signal]) => {
    throw new Error(`${file} ended with ${signal ?? code}`);
  });
  failed.catch(() => undefined);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} could not be run`);
  async function next<Answer>(schema: z.ZodType<Answer>): Promise<Answer> {
    const [message] = await Promise.race([once(child, 'message'), failed]);
    return schema.parse(message);
  }
  return {
    pid,
    ready: await next(readySchema),
    next,
    ask(request, schema) {
      const answer = next(schema);
      child.send(JSON.stringify(request));
      return answer;
    },
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}
