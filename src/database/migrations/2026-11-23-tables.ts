// Creates the three tables.
import { Migration } from '@mikro-orm/migrations';

/**
 * The volatile columns (status, health, last_seen, epoch) carry no index and the tables leave a third of each
 * page free, so that a heartbeat is an in-place (HOT) update.
 */
export class Tables extends Migration {
  override up(): void {
    this.addSql(`
      CREATE TABLE organizations (
        organization_id varchar(255) PRIMARY KEY,
        name text NOT NULL,
        location text NOT NULL DEFAULT 'unknown',
        status text NOT NULL DEFAULT 'inactive' CHECK (status IN ('active', 'inactive')),
        is_active boolean NOT NULL GENERATED ALWAYS AS (status = 'active') STORED,
        is_independent boolean NOT NULL DEFAULT false,
        last_seen timestamptz(3),
        features jsonb NOT NULL DEFAULT '{}',
        settings jsonb NOT NULL DEFAULT '{}',
        metadata jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz(3) NOT NULL DEFAULT now(),
        updated_at timestamptz(3) NOT NULL DEFAULT now()
      ) WITH (fillfactor = 66)`);
    this.addSql('CREATE INDEX organizations_newest ON organizations (created_at DESC, organization_id DESC)');

    // Of the whole fleet, not of a row: an orchestrator that is deleted and comes back never has an epoch twice.
    this.addSql('CREATE SEQUENCE connection_epochs');
    this.addSql(`
      CREATE TABLE orchestrator_instances (
        orchestrator_id varchar(255) PRIMARY KEY,
        organization_id varchar(255) NOT NULL REFERENCES organizations,
        name text NOT NULL,
        location text NOT NULL DEFAULT 'unknown',
        status text NOT NULL DEFAULT 'inactive' CHECK (status IN ('active', 'inactive')),
        health_status text NOT NULL DEFAULT 'unknown'
          CHECK (health_status IN ('healthy', 'degraded', 'unhealthy', 'unknown')),
        is_independent boolean NOT NULL DEFAULT false,
        privacy_mode boolean NOT NULL DEFAULT false,
        last_seen timestamptz(3),
        features jsonb NOT NULL DEFAULT '{}',
        metadata jsonb NOT NULL DEFAULT '{}',
        session_config jsonb NOT NULL DEFAULT '{}',
        monitoring_enabled boolean NOT NULL DEFAULT true,
        internal_url text,
        database_url text,
        redis_url text,
        environment_variables jsonb NOT NULL DEFAULT '{}',
        container_id text,
        image_name text,
        phoenix_endpoint text,
        connection_epoch bigint NOT NULL DEFAULT 0,
        node_id text,
        created_at timestamptz(3) NOT NULL DEFAULT now(),
        updated_at timestamptz(3) NOT NULL DEFAULT now()
      ) WITH (fillfactor = 66)`);
    this.addSql(
      'CREATE INDEX orchestrator_instances_newest ON orchestrator_instances (created_at DESC, orchestrator_id DESC)',
    );
    this.addSql(
      'CREATE INDEX orchestrator_instances_of_organization ON orchestrator_instances (organization_id, created_at DESC)',
    );

    this.addSql(`
      CREATE TABLE orchestrator_messages (
        id varchar(400) PRIMARY KEY,
        orchestrator_id varchar(255) NOT NULL REFERENCES orchestrator_instances ON DELETE CASCADE,
        message_type text NOT NULL CHECK (message_type IN ('recommendation', 'monitoring')),
        content text NOT NULL,
        status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'dismissed')),
        message_metadata jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz(3) NOT NULL DEFAULT now(),
        updated_at timestamptz(3) NOT NULL DEFAULT now()
      )`);
    this.addSql(
      'CREATE INDEX orchestrator_messages_newest ON orchestrator_messages (created_at DESC, id DESC)',
    );
    this.addSql(
      'CREATE INDEX orchestrator_messages_of_orchestrator ON orchestrator_messages (orchestrator_id, created_at DESC, id DESC)',
    );
    this.addSql(
      "CREATE INDEX orchestrator_messages_pending ON orchestrator_messages (orchestrator_id) WHERE status = 'pending'",
    );
  }

  override down(): void {
    this.addSql('DROP TABLE orchestrator_messages');
    this.addSql('DROP TABLE orchestrator_instances');
    this.addSql('DROP SEQUENCE connection_epochs');
    this.addSql('DROP TABLE organizations');
  }
}
