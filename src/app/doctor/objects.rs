//! Views and functions that run with others' rights.

use super::finding::{Finding, Severity};
use super::look::{Look, rows};
use super::role::Role;
use super::tables::Mark;
use crate::app::ddl::Identifier;
use crate::backend::AskError;

/// Views, also over views, that reach a table with tenants' rows. `privileged`: row-level security does not hold
/// back the owner.
const VIEWS: &str = "
WITH RECURSIVE guarded AS (
    SELECT c.oid, c.relowner, c.relforcerowsecurity FROM pg_class c
    WHERE c.relkind IN ('r', 'p', 'f') AND c.relnamespace <> 'pg_catalog'::regnamespace
        AND (c.relrowsecurity OR EXISTS (SELECT FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attname = $1 AND a.attnum > 0 AND NOT a.attisdropped))
), over AS (
    SELECT oid AS id FROM guarded
    UNION
    SELECT r.ev_class FROM over
    JOIN pg_depend d ON d.refobjid = over.id AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid
)
SELECT v.oid::regclass AS name, v.relkind = 'm' AS is_stored, o.rolname = current_user AS own,
    o.rolsuper OR o.rolbypassrls
        OR EXISTS (SELECT FROM guarded g WHERE g.relowner = v.relowner AND NOT g.relforcerowsecurity) AS privileged,
    pg_get_userbyid(v.relowner) AS owner,
    coalesce((SELECT option_value::boolean FROM pg_options_to_table(v.reloptions)
        WHERE option_name = 'security_invoker'), false) AS invoker,
    (SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ')
     FROM aclexplode(v.relacl) a
     WHERE CASE a.grantee WHEN 0 THEN true ELSE pg_has_role(current_user, a.grantee, 'MEMBER') END) AS grantees
FROM pg_class v JOIN pg_roles o ON o.oid = v.relowner
WHERE v.oid IN (SELECT id FROM over) AND v.relkind IN ('v', 'm')
    AND EXISTS (SELECT FROM pg_roles m WHERE pg_has_role(current_user, m.oid, 'MEMBER')
        AND has_any_column_privilege(m.oid, v.oid, 'SELECT, INSERT, UPDATE'))
ORDER BY v.oid::regclass::text";

const FUNCTIONS: &str = "
SELECT p.oid::regprocedure AS name, quote_ident(n.nspname) AS schema, pg_get_userbyid(p.proowner) AS owner,
    o.rolsuper OR o.rolbypassrls OR EXISTS (SELECT FROM pg_class c
        WHERE c.relowner = p.proowner AND c.relrowsecurity AND NOT c.relforcerowsecurity) AS privileged
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles o ON o.oid = p.proowner
WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND o.rolname <> current_user
    AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c(line) WHERE c.line LIKE 'search\\_path=%')
    AND has_function_privilege(current_user, p.oid, 'EXECUTE')
    AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY p.oid::regprocedure::text";

pub(super) async fn check(
    look: &mut Look,
    role: &Role,
    mark: &Mark,
    found: &mut Vec<Finding>,
) -> Result<(), AskError> {
    let answer = look.ask(VIEWS, &[Some(mark.column.as_str())]).await?;
    for row in rows(&answer) {
        let name = row.text("name");
        if row.is("is_stored") {
            found.push(Finding::new(
                Severity::Leak,
                "materialized-view",
                format!("materialized view {name}"),
                "holds rows of all tenants, and can have no policy",
                format!("REVOKE ALL ON {name} FROM {};", row.maybe("grantees").unwrap_or(&role.quoted)),
            ));
        } else if !row.is("invoker") && !row.is("own") {
            found.push(view(role, name, row.text("owner"), row.is("privileged")));
        }
    }
    let answer = look.ask(FUNCTIONS, &[]).await?;
    for row in rows(&answer) {
        let (name, schema) = (row.text("name"), row.text("schema"));
        found.push(Finding::new(
            if row.is("privileged") { Severity::Leak } else { Severity::Warning },
            "open-search-path",
            format!("function {name}"),
            format!(
                "runs as {} with its caller's search_path, so the caller chooses what its names mean",
                row.text("owner")
            ),
            format!("ALTER ROUTINE {name} SET search_path = pg_catalog, {schema}, pg_temp;"),
        ));
    }
    Ok(())
}

fn view(role: &Role, name: &str, owner: &str, privileged: bool) -> Finding {
    let severity = if privileged { Severity::Leak } else { Severity::Warning };
    let runs = format!("reads its tables as {} and not as who asks", Identifier::known(owner));
    let (problem, mend) = if role.major >= 15 {
        (runs, format!("ALTER VIEW {name} SET (security_invoker = true);"))
    } else {
        (
            format!("{runs}; PostgreSQL {} has no security_invoker, so it needs another owner", role.major),
            format!("ALTER VIEW {name} OWNER TO {};", role.quoted),
        )
    };
    Finding::new(severity, "view-owner", format!("view {name}"), problem, mend)
}
