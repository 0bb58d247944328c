// Owns the shape of a body around what a route answers.
import { z } from 'zod';
import { time } from '../fleet/shapes.ts';
import type { Envelope } from './answer-body.ts';

const head = {
  success: z.literal(true),
  message: z.string().describe('For people'),
  timestamp: time,
};

/** @throws TypeError for fields that are to stand beside the envelope's, and are none */
export function enveloped(envelope: Envelope, answer: z.ZodType): z.ZodType {
  if (envelope === 'plain') return answer;
  if (envelope === 'data') return z.object({ ...head, data: answer });
  if (!(answer instanceof z.ZodObject)) throw new TypeError('only fields can stand beside fields');
  return z.object({ ...head, ...answer.shape });
}
