// The migrations that this build knows, in their order.

export const migrationNames = ['2026-11-23-tables', '2026-11-24-message-counts'] as const;
export type MigrationName = (typeof migrationNames)[number];
