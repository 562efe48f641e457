//! Tables that hold tenants' rows, and their policies.

use super::finding::{Finding, Severity};
use super::look::{Look, Row, rows};
use super::policy::{Function, Policy, Reads, judge, without_errors};
use super::role::Role;
use crate::app::ddl::{Identifier, SIGNED_TENANT, Setting, Tenant, literal};
use crate::backend::AskError;

/// What tells a tenant's rows.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) setting: Setting,
    pub(super) column: Identifier,
    pub(super) tenant: Tenant,
}

/// Tables that the role, or one that it may become, can reach: with the tenant's column, or with policies.
/// The column's type is that below all domains and without a length (see `ddl::protect`).
const TABLES: &str = r"
WITH mine AS (SELECT oid FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER'))
SELECT c.oid, c.oid::regclass AS name, c.relkind = 'f' AS is_foreign, c.relrowsecurity, c.relforcerowsecurity,
    pg_has_role(current_user, c.relowner, 'MEMBER') AS owned,
    has_any_column_privilege(current_user, c.oid, 'SELECT') AS readable,
    has_table_privilege(current_user, c.oid, 'TRUNCATE') AS truncates,
    a.attname IS NOT NULL AS marked,
    (WITH RECURSIVE base AS (
        SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t JOIN base b ON b.typtype = 'd' AND t.oid = b.typbasetype
    ) SELECT format_type(oid, -1) FROM base WHERE typtype <> 'd') AS type,
    EXISTS (SELECT FROM pg_index i
        WHERE i.indrelid = c.oid AND i.indkey[0] = a.attnum AND i.indisvalid AND i.indpred IS NULL) AS indexed,
    EXISTS (SELECT FROM pg_policy p
        WHERE p.polrelid = c.oid AND p.polpermissive AND p.polname <> 'howdah_tenant') AS has_others
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = $1 AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'f') AND (a.attname IS NOT NULL OR c.relrowsecurity)
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'howdah') AND n.nspname !~ '^pg_(toast|temp)'
    AND EXISTS (SELECT FROM mine m WHERE has_any_column_privilege(m.oid, c.oid, 'SELECT, INSERT, UPDATE')
        OR has_table_privilege(m.oid, c.oid, 'DELETE, TRUNCATE'))
ORDER BY c.oid::regclass::text";

const POLICIES: &str = "
SELECT p.oid, p.polrelid, quote_ident(p.polname) AS name, p.polpermissive, p.polcmd, 0 = ANY (p.polroles) AS everyone,
    EXISTS (SELECT FROM unnest(p.polroles) AS r(id)
        WHERE CASE r.id WHEN 0 THEN true ELSE pg_has_role(current_user, r.id, 'MEMBER') END) AS ours,
    pg_get_expr(p.polqual, p.polrelid) AS expr_using, pg_get_expr(p.polwithcheck, p.polrelid) AS expr_check
FROM pg_policy p ORDER BY p.polname";

const CALLS: &str = "
SELECT DISTINCT d.objid, f.oid::regproc AS name, pg_get_functiondef(f.oid) AS definition
FROM pg_depend d JOIN pg_proc f ON f.oid = d.refobjid
WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass AND f.prokind = 'f'";

pub(super) async fn check(
    look: &mut Look,
    role: &Role,
    mark: &Mark,
    found: &mut Vec<Finding>,
) -> Result<(), AskError> {
    let policies = policies(look).await?;
    let answer = look.ask(TABLES, &[Some(mark.column.as_str())]).await?;
    let mut marked = false;
    for row in rows(&answer) {
        marked |= row.is("marked");
        let before = found.len();
        let own: Vec<Policy> =
            policies.iter().filter(|policy| policy.table == row.text("oid")).cloned().collect();
        let table = Table { row, own, mark, role };
        table.check(found);
        let leaks = found.iter().skip(before).any(|finding| finding.severity == Severity::Leak);
        if !leaks && row.is("marked") && row.is("readable") && !role.superuser {
            table.probe(look, found).await?;
        }
    }
    if !marked {
        found.push(Finding::new(
            Severity::Info,
            "no-tables",
            format!("column {}", mark.column.as_str()),
            "no table that this role can reach has it",
            "",
        ));
    }
    Ok(())
}

async fn policies(look: &mut Look) -> Result<Vec<Policy>, AskError> {
    let calls = look.ask(CALLS, &[]).await?;
    let answer = look.ask(POLICIES, &[]).await?;
    let called_by = |policy: &str| {
        let rows = rows(&calls).filter(|row| row.text("objid") == policy);
        rows.map(|row| Function {
            name: row.text("name").to_owned(),
            definition: row.text("definition").to_owned(),
        })
        .collect()
    };
    let policy = |row: Row<'_>| Policy {
        table: row.text("polrelid").to_owned(),
        name: row.text("name").to_owned(),
        permissive: row.is("polpermissive"),
        command: row.text("polcmd").to_owned(),
        everyone: row.is("everyone"),
        ours: row.is("ours"),
        using: row.maybe("expr_using").map(str::to_owned),
        check: row.maybe("expr_check").map(str::to_owned),
        calls: called_by(row.text("oid")),
    };
    Ok(rows(&answer).map(policy).collect())
}

struct Table<'a> {
    row: Row<'a>,
    own: Vec<Policy>,
    mark: &'a Mark,
    role: &'a Role,
}

impl Table<'_> {
    fn name(&self) -> &str {
        self.row.text("name")
    }

    fn finding(
        &self,
        severity: Severity,
        check: &'static str,
        problem: impl Into<String>,
        mend: String,
    ) -> Finding {
        Finding::new(severity, check, format!("table {}", self.name()), problem, mend)
    }

    fn check(&self, found: &mut Vec<Finding>) {
        let (name, row) = (self.name(), &self.row);
        if row.is("is_foreign") {
            found.push(self.finding(
                Severity::Leak,
                "foreign-table",
                "is a foreign table, which row-level security cannot protect",
                format!("REVOKE ALL ON {name} FROM PUBLIC, {};", self.role.quoted),
            ));
            return;
        }
        if !row.is("relrowsecurity") {
            let mut mend = format!(
                "ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {name} FORCE ROW LEVEL SECURITY;"
            );
            if !self.own.iter().any(|policy| policy.permissive) {
                mend.push('\n');
                mend += &self.policy();
            }
            let problem = "row-level security is not enabled";
            found.push(self.finding(Severity::Leak, "no-row-security", problem, mend));
        } else if !self.own.iter().any(|policy| policy.permissive && policy.ours) {
            let problem = "has no policy for this role, so it shows it no rows at all";
            found.push(self.finding(Severity::Warning, "no-policy", problem, self.policy()));
        }
        self.check_owner(found);
        for policy in self.own.iter().filter(|policy| policy.ours) {
            self.check_policy(policy, found);
        }
        if row.is("marked") && !row.is("indexed") {
            found.push(self.finding(
                Severity::Warning,
                "no-index",
                format!(
                    "no index begins with {}: each query reads all tenants' rows",
                    self.mark.column.as_str()
                ),
                format!("CREATE INDEX ON {name} ({});", self.mark.column),
            ));
        }
    }

    fn check_owner(&self, found: &mut Vec<Finding>) {
        let (name, row, role) = (self.name(), &self.row, &self.role.quoted);
        if self.role.superuser {
            return;
        }
        if row.is("owned") {
            if row.is("relrowsecurity") && !row.is("relforcerowsecurity") {
                let mend = format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY;");
                let problem =
                    "the role owns it, and row-level security does not apply to owners unless it is forced";
                found.push(self.finding(Severity::Leak, "not-forced", problem, mend));
            }
            let mend = format!(
                "ALTER TABLE {name} OWNER TO CURRENT_USER;\nGRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role};"
            );
            let problem = "the role owns it: who can send any SQL can switch its row-level security off";
            found.push(self.finding(Severity::Warning, "owner", problem, mend));
        } else if row.is("truncates") {
            let mend = format!("REVOKE TRUNCATE ON {name} FROM PUBLIC, {role};");
            let problem = "the role may TRUNCATE it, which empties it for all tenants";
            found.push(self.finding(Severity::Warning, "truncate", problem, mend));
        }
    }

    fn check_policy(&self, policy: &Policy, found: &mut Vec<Finding>) {
        let on = format!("policy {} on {}", policy.name, self.name());
        let setting = self.mark.setting.as_str();
        if policy.permissive && self.row.is("marked") {
            let reads = judge(policy, &self.own, &self.mark.tenant);
            let problem = match (reads, &self.mark.tenant) {
                (Reads::Yes, _) => None,
                (Reads::Plain, _) => Some(format!("reads the setting itself, not {SIGNED_TENANT}")),
                (Reads::No, Tenant::Plain(_)) => Some(format!("does not always read {setting}")),
                (Reads::No, Tenant::Signed) => Some(format!("does not always read {SIGNED_TENANT}")),
                (Reads::Unsure, _) => {
                    Some("calls functions in which no tenant is seen to be read".to_owned())
                }
            };
            if let Some(problem) = problem {
                let severity = if reads == Reads::Unsure { Severity::Warning } else { Severity::Leak };
                found.push(Finding::new(severity, "open-policy", &on, problem, self.policy()));
            }
        }
        let mended = |text: &Option<String>| text.as_ref().and_then(|text| without_errors(text, setting));
        let (using, check) = (mended(&policy.using), mended(&policy.check));
        if using.is_some() || check.is_some() {
            let clause = |word: &str, text: Option<String>| {
                text.map_or(String::new(), |t| format!("\n    {word} ({t})"))
            };
            let (using, check) = (clause("USING", using), clause("WITH CHECK", check));
            found.push(Finding::new(
                Severity::Warning,
                "raises-errors",
                on,
                format!("fails with an error instead of showing no rows when {setting} is absent or empty"),
                format!("ALTER POLICY {} ON {}{using}{check};", policy.name, self.name()),
            ));
        }
    }

    /// The policy that `howdah sql protect` makes, without its helper function.
    fn policy(&self) -> String {
        let tenant = match &self.mark.tenant {
            Tenant::Plain(setting) => {
                format!("nullif(current_setting({}, true), '')", literal(setting.as_str()))
            }
            Tenant::Signed => SIGNED_TENANT.to_owned(),
        };
        let cast = match self.row.text("type") {
            "text" | "character varying" | "name" => String::new(),
            other => format!("::{other}"),
        };
        let kind = if self.row.is("has_others") { "RESTRICTIVE" } else { "PERMISSIVE" };
        let (name, column) = (self.name(), &self.mark.column);
        if !self.row.is("marked") {
            return format!("-- has no column {column}: drop it, or write a policy by hand");
        }
        format!(
            "DROP POLICY IF EXISTS howdah_tenant ON {name};\nCREATE POLICY howdah_tenant ON {name} AS {kind}\n    \
             USING ({column} = (SELECT {tenant}{cast}))\n    WITH CHECK ({column} = (SELECT {tenant}{cast}));"
        )
    }

    /// Looks whether rows of tenants show without one: no reading of policies finds all that is wrong in them.
    async fn probe(&self, look: &mut Look, found: &mut Vec<Finding>) -> Result<(), AskError> {
        let sql =
            format!("SELECT EXISTS (SELECT FROM {} WHERE {} IS NOT NULL)", self.name(), self.mark.column);
        match look.ask(&sql, &[]).await {
            Ok(answer) => {
                if answer.rows.first().and_then(|row| row.first()).and_then(Option::as_deref) == Some("t") {
                    let problem = "shows rows to a session that has no tenant";
                    found.push(self.finding(Severity::Leak, "open-without-tenant", problem, self.policy()));
                }
                Ok(())
            }
            // A cast that fails, a column that may not be read, a lock: nothing was shown.
            Err(AskError::Server(..)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
