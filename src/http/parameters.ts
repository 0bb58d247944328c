// Owns the parameters that several routes share.
import { z } from 'zod';
import { identifier } from '../fleet/identifiers.ts';

/** A whole number as it stands in a query; described as the number that it is. */
export const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .meta({ type: 'integer', minimum: min, maximum: max, pattern: undefined });

const page = whole(1, 999_999_999_999_999);
const pageSize = whole(1, 100);
const defaultPageSize = 20;

export const pageQuery = z.object({
  page: page.default(1),
  page_size: pageSize.default(defaultPageSize),
});

/** For a list that is whole unless a page is asked for. */
export const optionalPageQuery = z.object({ page: page.optional(), page_size: pageSize.optional() });

export const idParams = z.object({
  id: identifier.describe('1 to 255 of `A-Z a-z 0-9 . _ -`, the first a letter or digit'),
});
export const limit = (standard: number) => whole(1, 1_000).default(standard);

/** Cuts one page out of a list; all of it where no page was asked for. */
export function cutPage<T>(all: readonly T[], query: z.output<typeof optionalPageQuery>): readonly T[] {
  if (query.page === undefined && query.page_size === undefined) return all;
  const size = query.page_size ?? defaultPageSize;
  const from = ((query.page ?? 1) - 1) * size;
  return all.slice(from, from + size);
}
