//! What the storm rages in: tenants of several kinds, tables that tell whose row each is, a configuration.

use std::fmt::Write as _;

use crate::support::{Config, Database};

/// Tenants by number; their kind is the number's last digit.
pub(super) struct Tenant {
    pub(super) name: String,
    /// What its transactions find in `app.tenant_id`.
    pub(super) id: String,
    /// The schema that they find tables in.
    pub(super) place: &'static str,
    /// The role that they run as.
    pub(super) role: &'static str,
    /// They have a `statement_timeout`.
    pub(super) hurried: bool,
}

impl Tenant {
    pub(super) fn new(number: usize) -> Self {
        let name = format!("t{number}");
        let mut tenant = Self { id: name.clone(), name, place: "public", role: "app", hurried: false };
        match number % 10 {
            3 => tenant.place = "other",
            4 => tenant.role = "storm_reader",
            5 => tenant.hurried = true,
            6 => (tenant.place, tenant.role, tenant.hurried) = ("other", "storm_reader", true),
            7 => tenant.id = format!("it's \\ größe {number}"),
            8 => tenant.id = format!("o'neil\\{number}"),
            _ => {}
        }
        tenant
    }
}

/// Rows of each tenant in each of the two tables called `seen`.
pub(super) const ROWS: usize = 3;

pub(super) fn tables(database: &Database<'_>, tenants: &[Tenant]) {
    database.query(
        "DO $$ BEGIN CREATE ROLE storm_reader NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         GRANT storm_reader TO app; CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO app, storm_reader;
         CREATE TABLE written (tenant_id text DEFAULT nullif(current_setting('app.tenant_id', true), ''),
            believed text NOT NULL, nonce text NOT NULL, place text NOT NULL DEFAULT current_schema(), who text DEFAULT current_user);
         GRANT SELECT, INSERT ON written TO app, storm_reader;
         CREATE PROCEDURE put_twice(who text, nonce text) LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO written (believed, nonce) VALUES (who, nonce); COMMIT;
            INSERT INTO written (believed, nonce) VALUES (who, nonce); COMMIT; END $$;",
    );
    for place in ["public", "other"] {
        let mut rows = Vec::new();
        for tenant in tenants {
            let id = tenant.id.replace('\'', "''");
            rows.extend((0..ROWS).map(|item| format!("('{id}', {item}, '{place}')")));
        }
        database.query(&format!(
            "CREATE TABLE {place}.seen (tenant_id text, item int, place text, PRIMARY KEY (tenant_id, item));
             INSERT INTO {place}.seen VALUES {};
             ANALYZE {place}.seen;
             ALTER TABLE {place}.seen ENABLE ROW LEVEL SECURITY;
             CREATE POLICY own ON {place}.seen USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
             GRANT SELECT ON {place}.seen TO app, storm_reader",
            rows.join(",")
        ));
    }
}

/// The configuration; `odd` is another one that means the same but for how long statements may take.
pub(super) fn config(database: &Database<'_>, connections: usize, tenants: &[Tenant], odd: bool) -> Config {
    let mut config = Config::new(connections).database(database).user("app");
    let mut text = "[tenancy]\n[tenants.\"*\"]\n".to_owned();
    for tenant in tenants {
        let mut lines = String::new();
        if tenant.place != "public" {
            lines += "placement = \"schema\"\nsearch_path = \"other, public\"\n";
        }
        if tenant.role != "app" {
            let _ = writeln!(lines, "role = \"{}\"", tenant.role);
        }
        if tenant.hurried {
            let _ = writeln!(lines, "statement_timeout = \"{}\"", HURRIES[usize::from(odd)]);
        }
        if tenant.id != tenant.name {
            let _ = writeln!(lines, "id = '''{}'''", tenant.id);
        }
        if !lines.is_empty() {
            let _ = writeln!(text, "[tenants.{}]\n{lines}", tenant.name);
        }
    }
    config.extra += &text;
    config
}

/// `statement_timeout` of those who have one, before and after a change of the configuration.
pub(super) const HURRIES: [&str; 2] = ["300ms", "400ms"];
