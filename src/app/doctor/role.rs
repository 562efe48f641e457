//! What the pool's role may do.

use super::finding::{Finding, Severity};
use super::look::{Look, Row, rows};
use crate::app::ddl::{Identifier, Tenant};
use crate::backend::AskError;

/// The login, as the server knows it.
#[derive(Debug)]
pub(super) struct Role {
    /// In quotes.
    pub(super) quoted: String,
    pub(super) superuser: bool,
    /// The server's version: 15 for 15.3.
    pub(super) major: i64,
    /// As the server says it.
    pub(super) version: String,
}

const ROLE: &str = "
SELECT current_user AS name, r.rolsuper, r.rolbypassrls, r.rolreplication, r.rolcreaterole,
    current_setting('server_version_num')::int / 10000 AS major,
    split_part(current_setting('server_version'), ' ', 1) AS version
FROM pg_roles r WHERE r.rolname = current_user";

/// Roles that let their members past row-level security, or out of the database.
const MEMBERSHIPS: &str = "
SELECT r.rolname AS name FROM pg_roles r
WHERE r.rolname <> current_user AND pg_has_role(current_user, r.oid, 'MEMBER')
    AND (r.rolsuper OR r.rolbypassrls OR r.rolname IN
        ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))
ORDER BY 1";

pub(super) async fn check(look: &mut Look, found: &mut Vec<Finding>) -> Result<Role, AskError> {
    let answer = look.ask(ROLE, &[]).await?;
    let row = rows(&answer).next().ok_or(AskError::Unfit("the server does not know its own role"))?;
    let name = row.text("name").to_owned();
    let role = Role {
        quoted: Identifier::known(&name).to_string(),
        superuser: row.is("rolsuper"),
        major: row.number("major"),
        version: row.text("version").to_owned(),
    };
    attributes(&role, &name, &row, found);
    if !role.superuser {
        let answer = look.ask(MEMBERSHIPS, &[]).await?;
        for row in rows(&answer) {
            let other = row.text("name");
            found.push(Finding::new(
                Severity::Leak,
                "privileged-role",
                format!("role {name}"),
                format!("is a member of {other}, which row-level security does not hold back"),
                format!("REVOKE {} FROM {};", Identifier::known(other), role.quoted),
            ));
        }
    }
    Ok(role)
}

fn attributes(role: &Role, name: &str, row: &Row<'_>, found: &mut Vec<Finding>) {
    let attributes = [
        ("rolsuper", "is a superuser: row-level security does not apply to it", "NOSUPERUSER"),
        ("rolbypassrls", "has BYPASSRLS: row-level security does not apply to it", "NOBYPASSRLS"),
        ("rolreplication", "has REPLICATION: it can read all rows by replication", "NOREPLICATION"),
    ];
    for (attribute, problem, without) in attributes {
        if row.is(attribute) {
            let mend = format!("ALTER ROLE {} {without};", role.quoted);
            found.push(Finding::new(
                Severity::Leak,
                "privileged-role",
                format!("role {name}"),
                problem,
                mend,
            ));
        }
    }
    if row.is("rolcreaterole") {
        found.push(Finding::new(
            Severity::Warning,
            "create-role",
            format!("role {name}"),
            "has CREATEROLE: before PostgreSQL 16 it can make itself a member of almost any role",
            format!("ALTER ROLE {} NOCREATEROLE;", role.quoted),
        ));
    }
}

/// Schemas in which the role may create: the ones it looks into, and Howdah's own.
const SCHEMAS: &str = "
SELECT n.nspname AS name, pg_has_role(current_user, n.nspowner, 'MEMBER') AS owned,
    (SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ')
     FROM aclexplode(n.nspacl) a WHERE a.privilege_type = 'CREATE'
         AND CASE a.grantee WHEN 0 THEN true ELSE pg_has_role(current_user, a.grantee, 'MEMBER') END) AS grantees
FROM pg_namespace n
WHERE (n.nspname = ANY ($1::name[]) OR n.nspname IN ('public', 'howdah'))
    AND (has_schema_privilege(current_user, n.oid, 'CREATE') OR pg_has_role(current_user, n.nspowner, 'MEMBER'))
ORDER BY 1";

const ELSEWHERE: &str = "
SELECT has_database_privilege(current_user, current_database(), 'TEMPORARY') AS temporary,
    has_table_privilege(current_user, 'pg_catalog.pg_stat_activity', 'SELECT')
        OR has_function_privilege(current_user, 'pg_catalog.pg_stat_get_activity(integer)', 'EXECUTE')
        OR has_function_privilege(current_user, 'pg_catalog.pg_stat_get_backend_activity(integer)', 'EXECUTE') AS activity,
    quote_ident(current_database()) AS database";

const HIDE_ACTIVITY: &str = "\
REVOKE SELECT ON pg_catalog.pg_stat_activity FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_stat_get_activity(integer),
    pg_catalog.pg_stat_get_backend_activity(integer) FROM PUBLIC;";

/// What helps somebody who can send any SQL. `path`: the role's own schemas, an array's text.
pub(super) async fn check_footholds(
    look: &mut Look,
    role: &Role,
    path: &str,
    tenant: &Tenant,
    found: &mut Vec<Finding>,
) -> Result<(), AskError> {
    if role.superuser {
        return Ok(()); // that says it all
    }
    let answer = look.ask(SCHEMAS, &[Some(path)]).await?;
    for row in rows(&answer) {
        schema(role, &row, found);
    }
    let answer = look.ask(ELSEWHERE, &[]).await?;
    for row in rows(&answer) {
        if row.is("temporary") {
            found.push(Finding::new(
                Severity::Info,
                "may-shadow",
                "temporary objects",
                "the role may make them, and they come before all others of their name in functions that do not \
                 put pg_temp last",
                format!("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC, {};", row.text("database"), role.quoted),
            ));
        }
        if row.is("activity") {
            let severity = if *tenant == Tenant::Signed { Severity::Warning } else { Severity::Info };
            found.push(Finding::new(
                severity,
                "activity",
                "pg_stat_activity",
                "who can send any SQL reads what other tenants' transactions of this role are running, literals \
                 included",
                HIDE_ACTIVITY,
            ));
        }
    }
    Ok(())
}

fn schema(role: &Role, row: &Row<'_>, found: &mut Vec<Finding>) {
    let (name, owned) = (row.text("name"), row.is("owned"));
    let quoted = Identifier::known(name);
    let (severity, problem) = match name {
        "howdah" => (Severity::Leak, "the role may create here, and so replace what policies call"),
        _ => (Severity::Warning, "the role may create here, and so put functions and tables before others'"),
    };
    let revoke =
        format!("REVOKE CREATE ON SCHEMA {quoted} FROM {};", row.maybe("grantees").unwrap_or("PUBLIC"));
    let mend = if owned {
        let role = &role.quoted;
        format!(
            "ALTER SCHEMA {quoted} OWNER TO CURRENT_USER;\nGRANT USAGE ON SCHEMA {quoted} TO {role};\n{revoke}"
        )
    } else {
        revoke
    };
    found.push(Finding::new(severity, "may-shadow", format!("schema {name}"), problem, mend));
}
