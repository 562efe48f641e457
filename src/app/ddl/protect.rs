//! The SQL that puts one table under a tenant's policy.

use super::name::dollar_quoted;
use super::{Identifier, SIGNED_TENANT, TableName, Tenant, literal};

const HEAD: &str = "\
-- Puts a table under row-level security: each transaction sees and writes the rows of its own tenant only,
-- and none without one. Run it as the table's owner, which should not be the role that applications log in as;
-- running it again changes nothing.
-- Tables that inherit from it, and its partitions, are treated alike.
-- On a large table make the index first: CREATE INDEX CONCURRENTLY does not stop writers.
BEGIN;

";

/// A setting that was set once in a session reads as '' afterwards, not as NULL. The body is parsed here and
/// now, so no `search_path` of a caller's changes what it means.
const HELPER: &str = "
    IF to_regnamespace('howdah') IS NULL THEN
        CREATE SCHEMA howdah;
        GRANT USAGE ON SCHEMA howdah TO PUBLIC;
    END IF;
    IF to_regprocedure('howdah.setting(text)') IS NULL THEN
        -- What a setting holds; NULL when it is not set, or empty.
        CREATE FUNCTION howdah.setting(setting_name text) RETURNS text
            LANGUAGE sql STABLE PARALLEL SAFE
            RETURN nullif(pg_catalog.current_setting(setting_name, true), '');
    END IF;";

const NEEDS_SIGNATURE: &str = "
    IF to_regprocedure('howdah.tenant_id()') IS NULL THEN
        RAISE EXCEPTION 'howdah.tenant_id() is not installed'
            USING HINT = 'Run what `howdah sql signature` prints first.';
    END IF;";

/// The type is the column's own without a length: a cast to varchar(5) would cut a longer tenant down to
/// another one, and -1 is what keeps `format_type` from saying "character", which is one letter. For the same
/// reason texts are not cast at all.
const COLUMN: &str = r#"
    SELECT a.attnum, a.atttypid INTO attribute, type_id FROM pg_attribute a
    WHERE a.attrelid = target AND a.attname = wanted AND a.attnum > 0 AND NOT a.attisdropped;
    IF attribute IS NULL THEN
        RAISE EXCEPTION 'table % has no column %', target, quote_ident(wanted);
    END IF;
    LOOP
        SELECT t.typbasetype INTO base_id FROM pg_type t WHERE t.oid = type_id AND t.typtype = 'd';
        EXIT WHEN NOT FOUND;
        type_id := base_id;
    END LOOP;
    IF type_id = '"char"'::regtype THEN
        RAISE EXCEPTION 'a column of type "char" cannot hold a tenant';
    END IF;
    IF type_id NOT IN ('text'::regtype, 'varchar'::regtype, 'name'::regtype) THEN
        tenant := tenant || '::' || format_type(type_id, -1);
    END IF;
    condition := format('(%I = (SELECT %s))', wanted, tenant);"#;

/// Permissive policies widen each other: where others stand already, this one narrows them.
const POLICY: &str = "
    FOR part IN
        WITH RECURSIVE parts AS (
            SELECT target::oid AS id
            UNION SELECT i.inhrelid FROM pg_inherits i JOIN parts ON i.inhparent = parts.id
        )
        SELECT c.oid FROM parts JOIN pg_class c ON c.oid = parts.id WHERE c.relkind IN ('r', 'p') ORDER BY c.oid
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', part);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', part);
        EXECUTE format('DROP POLICY IF EXISTS howdah_tenant ON %s', part);
        EXECUTE format('CREATE POLICY howdah_tenant ON %s AS %s USING %s WITH CHECK %s', part,
            CASE WHEN EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = part AND p.polpermissive)
                THEN 'RESTRICTIVE' ELSE 'PERMISSIVE' END,
            condition, condition);
    END LOOP;
    IF NOT EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = target AND i.indkey[0] = attribute AND i.indisvalid AND i.indpred IS NULL
    ) THEN
        EXECUTE format('CREATE INDEX ON %s (%I)', target, wanted);
    END IF;
END
";

/// One transaction that can be run again.
pub(crate) fn protect(table: &TableName, column: &Identifier, tenant: &Tenant) -> String {
    let (needs, reads) = match tenant {
        Tenant::Plain(setting) => (HELPER, format!("howdah.setting({})", literal(setting.as_str()))),
        Tenant::Signed => (NEEDS_SIGNATURE, SIGNED_TENANT.to_owned()),
    };
    let declare = format!(
        "
DECLARE
    target regclass := {};
    wanted name := {};
    tenant text := {};
    condition text;
    attribute int2;
    type_id oid;
    base_id oid;
    part regclass;
BEGIN",
        literal(&table.to_string()),
        literal(column.as_str()),
        literal(&reads),
    );
    let body = [&declare, needs, COLUMN, POLICY].concat();
    format!("{HEAD}DO {};\n\nCOMMIT;\n", dollar_quoted(&body))
}
