// Owns the rows that a fleet has gathered over the years, made in the database itself.

export interface Planting {
  readonly organizations: number;
  readonly orchestrators: number;
  readonly messages: number;
}

type Sql = (statement: string, parameters?: unknown[]) => Promise<Record<string, unknown>[]>;

export const organizationName = (at: number) => `bench-org-${at}`;
export const orchestratorName = (at: number) => `bench-${at}`;

/**
 * The same rows at each call. Orchestrators are spread over the organizations, and messages over the orchestrators and
 * over a million seconds, newest last. Of ten messages two are pending, six accepted and two dismissed; texts have 40 to
 * 400 characters, most of them less than 200.
 */
export async function plantRows(
  sql: Sql,
  { organizations, orchestrators, messages }: Planting,
): Promise<void> {
  await sql(
    `INSERT INTO organizations (organization_id, name, location, status, features, settings, created_at)
     SELECT 'bench-org-' || at, 'Organization ' || at, 'Oslo', 'active', '["chat", "search"]',
       '{"model": "small", "max_tokens": 4096}', now() - interval '400 days' + at * interval '1 minute'
     FROM generate_series(0, $1::int - 1) at`,
    [organizations],
  );
  await sql(
    `INSERT INTO orchestrator_instances (orchestrator_id, organization_id, name, location, status, health_status,
       is_independent, features, metadata, internal_url, container_id, image_name, created_at)
     SELECT 'bench-' || at, 'bench-org-' || at % $2::int, 'Orchestrator ' || at, 'Oslo',
       CASE WHEN at % 10 = 0 THEN 'inactive' ELSE 'active' END, 'healthy', at % 50 = 0, '["chat", "search"]',
       jsonb_build_object('version', '1.' || at % 20, 'hostname', 'host-' || at, 'ip', '10.0.0.' || at % 250),
       'http://10.0.0.' || at % 250 || ':8080', md5(at::text), 'registry.example/orchestrator:1.' || at % 20,
       now() - interval '300 days' + at * interval '1 minute'
     FROM generate_series(0, $1::int - 1) at`,
    [orchestrators, organizations],
  );
  await sql(
    `INSERT INTO orchestrator_messages (id, orchestrator_id, message_type, content, status, message_metadata,
       created_at, updated_at)
     SELECT 'msg_' || whose || '_' || lpad(to_hex(at), 12, '0') || left(md5(at::text), 20), whose,
       CASE WHEN at % 3 = 0 THEN 'monitoring' ELSE 'recommendation' END,
       left(repeat('Traffic fell at night: use the small model from ' || at || ' on, and look again. ', 6),
         40 + (360 * power(hashint4(at::int) / 4294967296.0 + 0.5, 3))::int),
       (ARRAY['pending', 'accepted', 'accepted', 'accepted', 'dismissed'])[1 + (at / 7) % 5],
       jsonb_build_object('priority', at % 5, 'tags', jsonb_build_array('cost', 'night')), made, made
     FROM (
       SELECT at, 'bench-' || (hashint4(at::int)::bigint + 2147483648) % $2::int AS whose,
         now() - interval '1000000 seconds' + at * (interval '1000000 seconds' / $1::int) AS made
       FROM generate_series(0, $1::int - 1) at
     ) message`,
    [messages, orchestrators],
  );
  await sql('VACUUM (ANALYZE)');
  // Or it would be written while somebody measures.
  await sql('CHECKPOINT');
}
