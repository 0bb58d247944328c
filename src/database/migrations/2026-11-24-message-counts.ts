// Creates the table that says how many messages there are, kept by triggers, and the index that filtered lists read.
import { Migration } from '@mikro-orm/migrations';

/** What a statement on messages changes, by its kind, from the rows that it gained and lost. */
const moves = {
  INSERT: 'SELECT orchestrator_id, message_type, status, 1 AS by FROM gained',
  DELETE: 'SELECT orchestrator_id, message_type, status, -1 AS by FROM lost',
  UPDATE: `SELECT orchestrator_id, message_type, status, 1 AS by FROM gained
    UNION ALL SELECT orchestrator_id, message_type, status, -1 FROM lost`,
} as const;

/**
 * Those of an orchestrator under its id, and all under # and one of sixteen numbers, which no id begins with: the whole
 * is their sum, and writers of different orchestrators seldom wait for each other. Rows are locked in one order.
 */
const count = (moved: string) => `
  INSERT INTO orchestrator_message_counts AS known (whose, message_type, status, messages)
  SELECT whose, message_type, status, sum(by)
  FROM (${moved}) moved, LATERAL (VALUES (orchestrator_id), ('#' || (hashtext(orchestrator_id) & 15))) part (whose)
  GROUP BY whose, message_type, status HAVING sum(by) <> 0
  ORDER BY whose, message_type, status
  ON CONFLICT (whose, message_type, status) DO UPDATE SET messages = known.messages + excluded.messages`;

/**
 * The counts change in the transaction that changes the messages, whoever changes them: they are exact. That costs one
 * statement more a message, and saves every list to count a million rows.
 */
export class MessageCounts extends Migration {
  override up(): void {
    // From here to the end nobody writes a message that would not be counted.
    this.addSql('LOCK TABLE orchestrator_messages IN SHARE ROW EXCLUSIVE MODE');
    this.addSql(`
      CREATE TABLE orchestrator_message_counts (
        whose varchar(255) NOT NULL,
        message_type text NOT NULL,
        status text NOT NULL,
        messages bigint NOT NULL,
        PRIMARY KEY (whose, message_type, status)
      ) WITH (fillfactor = 50)`);
    this.addSql(count('SELECT orchestrator_id, message_type, status, 1 AS by FROM orchestrator_messages'));
    this.addSql(`
      CREATE FUNCTION count_orchestrator_messages() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF TG_OP = 'INSERT' THEN ${count(moves.INSERT)};
        ELSIF TG_OP = 'UPDATE' THEN ${count(moves.UPDATE)};
        ELSIF TG_OP = 'DELETE' THEN ${count(moves.DELETE)};
          DELETE FROM orchestrator_message_counts
          WHERE messages = 0 AND whose IN (SELECT orchestrator_id FROM lost);
        ELSE DELETE FROM orchestrator_message_counts;
        END IF;
        RETURN NULL;
      END $$`);
    for (const [name, what] of Object.entries({
      inserted: 'INSERT ON orchestrator_messages REFERENCING NEW TABLE AS gained',
      updated: 'UPDATE ON orchestrator_messages REFERENCING NEW TABLE AS gained OLD TABLE AS lost',
      deleted: 'DELETE ON orchestrator_messages REFERENCING OLD TABLE AS lost',
      truncated: 'TRUNCATE ON orchestrator_messages',
    }))
      this.addSql(
        `CREATE TRIGGER orchestrator_messages_${name} AFTER ${what} EXECUTE FUNCTION count_orchestrator_messages()`,
      );

    this.addSql(
      'CREATE INDEX orchestrator_messages_filtered ON orchestrator_messages (message_type, status, created_at DESC, id DESC)',
    );
  }

  override down(): void {
    this.addSql('DROP INDEX orchestrator_messages_filtered');
    for (const name of ['inserted', 'updated', 'deleted', 'truncated'])
      this.addSql(`DROP TRIGGER orchestrator_messages_${name} ON orchestrator_messages`);
    this.addSql('DROP FUNCTION count_orchestrator_messages');
    this.addSql('DROP TABLE orchestrator_message_counts');
  }
}
