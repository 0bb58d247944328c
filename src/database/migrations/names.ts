// The migrations that this build knows, in their order.

export const migrationNames = ['2026-11-23-tables'] as const;
export type MigrationName = (typeof migrationNames)[number];
