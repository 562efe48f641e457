//! The SQL that lets a database be followed: the publication, the role, and what tells of DDL.

use std::fmt::Write;

use super::name::dollar_quoted;
use super::{Identifier, literal};

const HEAD: &str = "\
-- Lets Howdah follow what is written in this database ([cache.follow] mode = \"replication\"). Run it in the database
-- itself, as the owner of its tables or as a superuser; run it again when there are new tables. wal_level must be
-- logical: ALTER SYSTEM SET wal_level = 'logical', and a restart.
-- Tables without a replica identity are left out, because UPDATE and DELETE fail on a published table that has none:
-- answers from there live by their time only. Give such a table a primary key, or ALTER TABLE ... REPLICA IDENTITY FULL.
BEGIN;

";

/// A partitioned table is published as a whole, so that partitions to come are too; that takes an identity in each of
/// its partitions. What belongs to an extension is the extension's own.
const BODY: &str = r"
DECLARE
    wanted name := {};
    part record;
    alone boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = wanted) THEN
        EXECUTE format('CREATE PUBLICATION %I WITH (publish = ''insert, update, delete, truncate'')', wanted);
    ELSE
        EXECUTE format('ALTER PUBLICATION %I SET (publish = ''insert, update, delete, truncate'')', wanted);
    END IF;
    IF EXISTS (SELECT FROM pg_publication WHERE pubname = wanted AND puballtables) THEN
        RAISE NOTICE 'publication % is for all tables', quote_ident(wanted);
        RETURN;
    END IF;
    FOR part IN
        WITH RECURSIVE tree AS (
            SELECT c.oid AS root, c.oid AS id FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition
                AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
                AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'
                    AND d.classid = 'pg_class'::regclass)
            UNION ALL
            SELECT tree.root, i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.id
                JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relispartition
        )
        SELECT tree.root, bool_and(c.relkind <> 'r' OR c.relreplident = 'f'
                OR c.relreplident = 'd' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
                OR c.relreplident = 'i' AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident))
            AND bool_and(c.relkind <> 'f') AS identified
        FROM tree JOIN pg_class c ON c.oid = tree.id GROUP BY tree.root ORDER BY tree.root::regclass::text
    LOOP
        alone := EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
            WHERE p.pubname = wanted AND r.prrelid = part.root);
        IF part.identified AND NOT alone THEN
            EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY %s', wanted, part.root::regclass);
        ELSIF NOT part.identified THEN
            RAISE WARNING 'table % has no replica identity: it is left out', part.root::regclass;
            IF alone THEN
                EXECUTE format('ALTER PUBLICATION %I DROP TABLE ONLY %s', wanted, part.root::regclass);
            END IF;
        END IF;
    END LOOP;
END
";

const REPLICATES: &str = "
-- The role that follows; only a superuser may say this. On managed servers: GRANT rds_replication TO the role, or
-- what its provider names.
";

const DDL: &str = r"
-- DDL, GRANT and REVOKE are not in the stream. Howdah looks for them every second; with this they are told with the
-- transaction that does them. Only a superuser may make it.
CREATE SCHEMA IF NOT EXISTS howdah;
CREATE OR REPLACE FUNCTION howdah.tell_of_ddl() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF tg_event = 'sql_drop' THEN
        IF NOT EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE NOT is_temporary) THEN
            RETURN;
        END IF;
    ELSIF NOT EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c
            WHERE c.schema_name IS DISTINCT FROM 'pg_temp'
                AND c.command_tag NOT IN ('CREATE INDEX', 'ALTER INDEX', 'REINDEX', 'COMMENT', 'CREATE STATISTICS')) THEN
        RETURN;
    END IF;
    PERFORM pg_logical_emit_message(true, 'howdah', 'ddl');
END $$;
DROP EVENT TRIGGER IF EXISTS howdah_ddl;
CREATE EVENT TRIGGER howdah_ddl ON ddl_command_end EXECUTE FUNCTION howdah.tell_of_ddl();
DROP EVENT TRIGGER IF EXISTS howdah_drop;
CREATE EVENT TRIGGER howdah_drop ON sql_drop EXECUTE FUNCTION howdah.tell_of_ddl();
";

/// One transaction that can be run again.
pub(crate) fn follow(publication: &Identifier, role: Option<&Identifier>, ddl: bool) -> String {
    let body = BODY.replacen("{}", &literal(publication.as_str()), 1);
    let mut out = format!("{HEAD}DO {};\n", dollar_quoted(&body));
    if let Some(role) = role {
        out.push_str(REPLICATES);
        let _ = writeln!(out, "ALTER ROLE {role} REPLICATION;");
    }
    if ddl {
        out.push_str(DDL);
    }
    out.push_str("\nCOMMIT;\n");
    out
}
