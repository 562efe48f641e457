//! What is asked of a server's catalog. Object identifiers below 16384 are those that `initdb` gave.
//!
//! Paths are lists of schemas with `pg_catalog` in them; absent, the connection's own holds. A role that is absent is the
//! login. Nothing here hangs on the connection's own `search_path` beyond that.

/// Where a name without a schema may lead: `$3` is the path, `$4` the role. Schemas that the role may not use are
/// passed over, as the server does it.
macro_rules! path {
    () => {
        "SELECT coalesce($4::text, session_user::text) AS role, array_replace(coalesce($3::text[], \
         current_schemas(true)::text[]), '$user', coalesce($4::text, session_user::text)) AS path"
    };
}

/// `$1` schemas, `$2` names: relations, each with the number of its name (from 1) and its identifier.
pub(super) const RELATIONS: &str = concat!(
    "WITH s AS (",
    path!(),
    ") SELECT DISTINCT ON (w.ord) w.ord, c.oid FROM s, unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(schema, name, ord) \
     JOIN pg_catalog.pg_class c ON c.relname = w.name JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r','p','v','m','f','S') AND CASE WHEN w.schema IS NOT NULL THEN n.nspname = w.schema \
     ELSE n.nspname::text = ANY (s.path) AND has_schema_privilege(s.role::name, n.oid, 'USAGE') END \
     ORDER BY w.ord, array_position(s.path, n.nspname::text)"
);

/// What is asked of each function.
macro_rules! function {
    () => {
        "SELECT p.oid, n.nspname, p.proname, p.provolatile, l.lanname, p.oid < 16384, \
         CASE WHEN p.oid >= 16384 AND l.lanname IN ('sql', 'plpgsql') \
              THEN coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) END, p.prosqlbody IS NOT NULL, \
         (SELECT substr(c, 13) FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%'), \
         CASE WHEN p.prosecdef THEN pg_get_userbyid(p.proowner) END \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE p.oid IN "
    };
}

/// `$1` schemas, `$2` names, `$5` operators, `$6` columns that may be calls, `$7` identifiers: functions, all that may be
/// meant.
pub(super) const FUNCTIONS: &str = concat!(
    "WITH s AS (",
    path!(),
    ") ",
    function!(),
    "(SELECT p.oid FROM s, unnest($1::text[], $2::text[]) AS w(schema, name) \
      JOIN pg_catalog.pg_proc p ON p.proname = w.name JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
      WHERE n.nspname::text = w.schema OR (w.schema IS NULL AND n.nspname::text = ANY (s.path)) \
      UNION SELECT o.oprcode FROM pg_catalog.pg_operator o WHERE o.oid >= 16384 AND o.oprname::text = ANY ($5::text[]) \
      UNION SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0] \
      WHERE p.oid >= 16384 AND p.proname::text = ANY ($6::text[]) AND p.pronargs = 1 AND t.typtype = 'c' \
      UNION SELECT unnest($7::oid[]))"
);

/// `$1`: these relations and all that is read when they are: what views and policies name, partitions, children.
pub(super) const READ_WITH: &str = "
WITH RECURSIVE r(oid) AS (
  SELECT unnest($1::oid[])
  UNION
  SELECT x.oid FROM r, LATERAL (
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = r.oid
    UNION ALL
    SELECT d.refobjid FROM pg_catalog.pg_class v
      JOIN pg_catalog.pg_rewrite w ON w.ev_class = v.oid AND w.ev_type = '1'
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = w.oid
      WHERE v.oid = r.oid AND v.relkind = 'v' AND d.refclassid = 'pg_catalog.pg_class'::regclass
    UNION ALL
    SELECT d.refobjid FROM pg_catalog.pg_class t
      JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid AND p.polcmd IN ('r', '*')
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid = p.oid
      WHERE t.oid = r.oid AND t.relrowsecurity AND d.refclassid = 'pg_catalog.pg_class'::regclass
  ) x(oid)
)
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence
FROM r JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
ORDER BY n.nspname, c.relname";

/// `$1`: the relations and functions that a function with a body in SQL as the catalog keeps it (BEGIN ATOMIC) names.
pub(super) const NAMED_BY_FUNCTION: &str = "
SELECT d.refclassid = 'pg_catalog.pg_class'::regclass, CASE WHEN d.refclassid = 'pg_catalog.pg_operator'::regclass
  THEN (SELECT o.oprcode::oid FROM pg_catalog.pg_operator o WHERE o.oid = d.refobjid) ELSE d.refobjid END
FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = ANY ($1::oid[])
  AND d.refclassid IN ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_proc'::regclass,
                       'pg_catalog.pg_operator'::regclass)";

/// `$1`: the definitions of those views and the policies of those tables: whether it is a policy, its text, and the
/// functions of users that it calls.
pub(super) const DEFINITIONS: &str = "
SELECT o.policy, o.text, (
    SELECT string_agg(DISTINCT CASE WHEN d.refclassid = 'pg_catalog.pg_operator'::regclass
        THEN (SELECT op.oprcode::oid FROM pg_catalog.pg_operator op WHERE op.oid = d.refobjid)
        ELSE d.refobjid END::text, ',')
    FROM pg_catalog.pg_depend d WHERE d.classid = o.class AND d.objid = o.oid
      AND d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass))
FROM (
  SELECT false, pg_get_viewdef(v.oid), 'pg_catalog.pg_rewrite'::regclass, w.oid
  FROM pg_catalog.pg_class v JOIN pg_catalog.pg_rewrite w ON w.ev_class = v.oid AND w.ev_type = '1'
  WHERE v.oid = ANY ($1::oid[]) AND v.relkind = 'v'
  UNION ALL
  SELECT true, pg_get_expr(p.polqual, p.polrelid), 'pg_catalog.pg_policy'::regclass, p.oid
  FROM pg_catalog.pg_class t JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid AND p.polcmd IN ('r', '*')
  WHERE t.oid = ANY ($1::oid[]) AND t.relrowsecurity
) o(policy, text, class, oid)";

/// `$1`: these relations and all from which writes come to them: partitioned and inherited parents, tables whose foreign
/// keys cascade, views (which of them can be written through is not asked: that looks into foreign servers), tables with
/// rules.
pub(super) const SOURCES: &str = "
WITH RECURSIVE s(oid) AS (
  SELECT unnest($1::oid[])
  UNION
  SELECT x.oid FROM s, LATERAL (
    SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = s.oid
    UNION ALL
    SELECT k.confrelid FROM pg_catalog.pg_constraint k WHERE k.conrelid = s.oid AND k.contype = 'f'
      AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
    UNION ALL
    SELECT w.ev_class FROM pg_catalog.pg_depend d
      JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid JOIN pg_catalog.pg_class v ON v.oid = w.ev_class
      WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
        AND d.refobjid = s.oid AND w.ev_class <> s.oid
        AND (w.ev_type <> '1' OR v.relkind = 'v')
  ) x(oid)
)
SELECT c.oid, n.nspname, c.relname
FROM s JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY n.nspname, c.relname";

/// `$1` relations, `$2` a publication: those of which it does not tell every write.
pub(super) const NOT_FOLLOWED: &str = "
SELECT n.nspname, c.relname FROM unnest($1::oid[]) AS r(oid)
JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'f') AND NOT (c.relkind = 'r' AND c.relpersistence = 'p' AND EXISTS (
  WITH RECURSIVE up(oid) AS (
    SELECT c.oid UNION SELECT i.inhparent FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid
      JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relkind = 'p'
  )
  SELECT FROM up JOIN pg_catalog.pg_class u USING (oid) JOIN pg_catalog.pg_namespace un ON un.oid = u.relnamespace
  JOIN pg_catalog.pg_publication_tables t ON t.schemaname = un.nspname AND t.tablename = u.relname
  JOIN pg_catalog.pg_publication b ON b.pubname = t.pubname
  WHERE t.pubname = $2 AND to_jsonb(t) ->> 'rowfilter' IS NULL
    AND b.pubinsert AND b.pubupdate AND b.pubdelete AND b.pubtruncate
)) ORDER BY 1, 2";

/// VOLATILE functions and procedures, and those of triggers, that may write: identifier, schema, name, whether they can
/// be read, and their bodies. Of those in C only triggers', and not the ones that are known to touch nothing but their
/// own row.
pub(super) const BODIES: &str = "
SELECT p.oid, n.nspname, p.proname, l.lanname IN ('sql', 'plpgsql'),
  CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) ELSE '' END
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.oid >= 16384 AND p.prokind IN ('f', 'p') AND CASE
  WHEN l.lanname IN ('c', 'internal') THEN p.prorettype = 'pg_catalog.trigger'::regtype AND p.prosrc NOT IN ('moddatetime',
    'autoinc', 'insert_username', 'lo_manage', 'check_primary_key', 'tsvector_update_trigger_byid', 'tsvector_update_trigger_bycolumn',
    'suppress_redundant_updates_trigger')
  ELSE p.provolatile = 'v' OR p.prorettype = 'pg_catalog.trigger'::regtype END";

/// Triggers: their function and the tables that they are on.
pub(super) const TRIGGERS: &str = "
SELECT t.tgfoid, string_agg(t.tgrelid::text, ',') FROM pg_catalog.pg_trigger t
WHERE (NOT t.tgisinternal OR t.tgparentid <> 0) AND t.tgenabled <> 'D' AND t.tgfoid >= 16384 GROUP BY t.tgfoid";
