//! `howdah doctor` and `howdah sql`: what they find, and that the SQL they tell mends it.

use crate::support::{Cluster, Config, Database, PASSWORD, Version};
use aws_lc_rs::hmac;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

/// A database with a role of its own that the pool logs in with, and a configuration for both.
struct Patient {
    database: Database<'static>,
    role: String,
    config: Config,
    dir: tempfile::TempDir,
}

#[derive(Debug, PartialEq)]
struct Found {
    severity: String,
    check: String,
    object: String,
    mend: String,
}

fn howdah(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_howdah")).args(arguments).output().expect("howdah")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a `howdah sql …` that must succeed prints.
fn printed(arguments: &[&str]) -> String {
    let output = howdah(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

impl Patient {
    /// Healthy: it may do nothing but log in, and what everybody may is little.
    fn new(version: Version, name: &str) -> Self {
        let cluster = Cluster::shared(version);
        let role = format!("{name}_role");
        let database = cluster.database(name);
        cluster.query(
            "postgres",
            &format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"),
        );
        database.query(&format!(
            "ALTER DATABASE {name} OWNER TO postgres;
             REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC;
             ALTER SCHEMA public OWNER TO postgres;
             REVOKE ALL ON SCHEMA public FROM PUBLIC;
             GRANT USAGE ON SCHEMA public TO PUBLIC;
             REVOKE SELECT ON pg_catalog.pg_stat_activity FROM PUBLIC;
             REVOKE EXECUTE ON FUNCTION pg_catalog.pg_stat_get_activity(integer),
                 pg_catalog.pg_stat_get_backend_activity(integer) FROM PUBLIC"
        ));
        let mut config = Config::new(5).database(&database).user(&role);
        config.extra = "[tenancy]\n[tenants.\"*\"]\n".to_owned();
        Self { database, role, config, dir: tempfile::tempdir().expect("a folder") }
    }

    /// As [`Self::new`], with signed tenants.
    fn signed(version: Version, name: &str, key: &[u8]) -> Self {
        let mut patient = Self::new(version, name);
        patient.config.extra += "[tenancy.signature]\nkey_file = \"{dir}/tenant.key\"\nvalid_for = \"1m\"\n";
        std::fs::write(patient.dir.path().join("tenant.key"), key).expect("tenant.key");
        patient
    }

    fn install_signature(&self) {
        self.database.query(&printed(&["sql", "signature", "-c", &self.config_file()]));
    }

    /// A table that only [`Self::protect`] is missing for.
    fn table(&self, name: &str, tenant_type: &str) {
        let role = &self.role;
        self.database.query(&format!(
            "CREATE TABLE {name} (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id {tenant_type});
             GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role}"
        ));
    }

    fn protect(&self, arguments: &[&str]) {
        self.database.query(&printed(&[&["sql", "protect"], arguments].concat()));
    }

    fn config_file(&self) -> String {
        let file = self.dir.path().join("howdah.toml");
        let dir = self.dir.path().to_str().expect("a UTF-8 path");
        std::fs::write(&file, self.config.toml().replace("{dir}", dir)).expect("howdah.toml");
        file.to_str().expect("a UTF-8 path").to_owned()
    }

    /// The exit code and what was found. The server reads the JSON, so it is JSON.
    fn examine(&self) -> (i32, Vec<Found>) {
        let output = howdah(&["doctor", "--json", "-c", &self.config_file()]);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let json = out.replace('\'', "''");
        let rows = self.database.query(&format!(
            "SELECT f->>'severity', f->>'check', f->>'object', f->>'mend', c->>'error'
             FROM (SELECT '{json}'::json AS report) r,
                 json_array_elements((report->'checked')) c
                 LEFT JOIN LATERAL json_array_elements(c->'findings') f ON true"
        ));
        let mut found = Vec::new();
        for row in rows {
            let mut row = row.into_iter();
            let mut next = || row.next().flatten();
            let fields = [next(), next(), next(), next()];
            assert_eq!(next(), None, "{out}{err}");
            if let [Some(severity), Some(check), Some(object), Some(mend)] = fields {
                found.push(Found { severity, check, object, mend });
            }
        }
        (output.status.code().expect("an exit code"), found)
    }

    /// Provokes one finding and mends it by its own SQL.
    #[track_caller]
    fn provoke(&self, sql: &str, severity: &str, check: &str, object: &str) {
        let object = object.replace("{role}", &self.role);
        self.database.query(&sql.replace("{role}", &self.role).replace("{db}", &self.database.name));
        let is_it = |found: &Found| found.check == check && found.object == object;
        let (code, found) = self.examine();
        let hits: Vec<&Found> = found.iter().filter(|found| is_it(found)).collect();
        let [hit] = hits.as_slice() else { panic!("{check} {object}: {found:#?}") };
        assert_eq!(hit.severity, severity, "{hit:?}");
        assert_eq!(code, i32::from(found.iter().any(|found| found.severity == "leak")), "{found:#?}");
        self.database.query(&hit.mend);
        let (_, after) = self.examine();
        assert!(!after.iter().any(is_it), "after {}: {after:#?}", hit.mend);
    }

    #[track_caller]
    fn is_healthy(&self) {
        assert_eq!(self.examine(), (0, Vec::new()));
    }

    /// What the pool's role sees with these settings, or the SQLSTATE.
    fn sees(&self, settings: &[(&str, &str)], sql: &str) -> Result<String, String> {
        let cluster = self.database.cluster;
        let config = crate::support::howdah::direct_config(cluster, &self.role, &self.database.name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            for (name, value) in settings {
                client.execute("SELECT set_config($1, $2, false)", &[name, value]).await.unwrap();
            }
            let messages = client.simple_query(sql).await;
            let messages = messages.map_err(|e| e.code().map_or("?", |code| code.code()).to_owned())?;
            let row = messages.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
                _ => None,
            });
            Ok(row.unwrap_or_default())
        })
    }
}

#[test]
fn what_protect_prints_makes_doctor_pass() {
    for version in Version::ALL {
        let patient = Patient::new(version, "protected");
        for (name, of) in [("texts", "text"), ("uuids", "uuid"), ("numbers", "bigint")] {
            patient.table(name, of);
            patient.protect(&[name]);
            patient.protect(&[name]);
        }
        patient.is_healthy();
        let output = howdah(&["doctor", "-c", &patient.config_file()]);
        let told = text(&output.stdout);
        assert!(told.contains("nothing found") && told.ends_with("0 leaks, 0 warnings\n"), "{told}");
        assert_eq!(
            patient.database.value("SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%(tenant_id)%'"),
            "3"
        );
    }
}

#[test]
fn protected_rows_are_their_tenants_own() {
    let patient = Patient::new(Version::V15, "own_rows");
    patient.database.query(
        "CREATE DOMAIN short AS varchar(4); CREATE DOMAIN shorter AS short;
         CREATE TYPE firm AS ENUM ('acme', 'globex')",
    );
    let tenants = [
        ("text", "acme", "acme's"),
        ("varchar(4)", "acme", "acme2"),
        ("char(4)", "acme", "acme2"),
        ("shorter", "acme", "acme2"),
        ("name", "acme", "acme2"),
        ("firm", "acme", "globex"),
        ("int", "7", "8"),
        ("uuid", "6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10", "6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a11"),
    ];
    for (index, (of, own, other)) in tenants.into_iter().enumerate() {
        let table = format!("t{index}");
        patient.table(&table, of);
        patient.protect(&[&table]);
        patient.database.query(&format!("INSERT INTO {table} (tenant_id) VALUES ('{own}'), (NULL)"));
        let count = format!("SELECT count(*) FROM {table}");
        let sees = |tenant: &str| patient.sees(&[("app.tenant_id", tenant)], &count);
        assert_eq!(sees(own).as_deref(), Ok("1"), "{of}");
        assert_eq!(sees(other).as_deref(), Ok("0"), "{of}");
        assert_eq!(sees("").as_deref(), Ok("0"), "{of}");
        assert_eq!(patient.sees(&[], &count).as_deref(), Ok("0"), "{of}");
        let insert = format!("INSERT INTO {table} (tenant_id) VALUES ('{own}') RETURNING 1");
        assert_eq!(patient.sees(&[("app.tenant_id", own)], &insert).as_deref(), Ok("1"), "{of}");
        assert_eq!(patient.sees(&[("app.tenant_id", other)], &insert), Err("42501".into()), "{of}");
        assert_eq!(patient.sees(&[], &insert), Err("42501".into()), "{of}");
        let delete = format!("WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone");
        assert_eq!(patient.sees(&[("app.tenant_id", other)], &delete).as_deref(), Ok("0"), "{of}");
    }
    assert_eq!(patient.examine().0, 0);
}

#[test]
fn odd_names_are_quoted_and_nonsense_is_refused() {
    let patient = Patient::new(Version::V15, "odd_names");
    let role = &patient.role;
    for (schema, table, column) in [
        (r#""O'dd Schema""#, r#""Ta""b'le; $howdah$ \ --""#, r#""Ten'ant Größe""#),
        ("größe", "\"line\nbreak\"", "select"),
    ] {
        let quoted = if column == "select" { "\"select\"" } else { column };
        patient.database.query(&format!(
            "CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO {role};
             CREATE TABLE {schema}.{table} ({quoted} text); GRANT SELECT ON {schema}.{table} TO {role};
             INSERT INTO {schema}.{table} VALUES ('acme'), ('globex')"
        ));
        let name = format!("{schema}.{table}");
        patient.protect(&[&name, "--column", column, "--setting", "App.Firm"]);
        let count = format!("SELECT count(*) FROM {name}");
        assert_eq!(patient.sees(&[("app.firm", "acme")], &count).as_deref(), Ok("1"));
        assert_eq!(patient.sees(&[], &count).as_deref(), Ok("0"));
    }
    let missing = printed(&["sql", "protect", "nowhere"]);
    assert!(patient.database.cluster.try_query(&patient.database.name, &missing).is_err());
    patient.table("orders", "text");
    let missing = printed(&["sql", "protect", "orders", "--column", "nothing"]);
    assert!(patient.database.cluster.try_query(&patient.database.name, &missing).is_err());
    for bad in [
        &["sql", "protect", "a b"][..],
        &["sql", "protect", "a;b"],
        &["sql", "protect", ""],
        &["sql", "protect", "a.b.c"],
        &["sql", "protect", "a", "--column", "x y"],
        &["sql", "protect", "a", "--setting", "role"],
        &["sql", "protect", "a", "--setting", "app.x'y"],
        &["sql", "protect"],
        &["sql", "signature"],
        &["doctor"],
    ] {
        let output = howdah(bad);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{bad:?}");
    }
}

#[test]
fn protect_narrows_what_other_policies_let_through_and_knows_partitions() {
    let patient = Patient::new(Version::V15, "narrowed");
    let role = &patient.role;
    patient.table("drafts", "text");
    patient.database.query(&format!(
        "ALTER TABLE drafts ADD public boolean; ALTER TABLE drafts ENABLE ROW LEVEL SECURITY;
         CREATE POLICY shown ON drafts FOR SELECT USING (public);
         INSERT INTO drafts (tenant_id, public) VALUES ('acme', true), ('acme', false), ('globex', true);
         CREATE TABLE events (tenant_id text, day date) PARTITION BY RANGE (day);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
         GRANT SELECT ON events, events_1 TO {role};
         INSERT INTO events VALUES ('acme', '2025-02-02'), ('globex', '2025-03-03')"
    ));
    for _ in 0..2 {
        patient.protect(&["drafts"]);
        patient.protect(&["events"]);
        let acme = |sql: &str| patient.sees(&[("app.tenant_id", "acme")], sql);
        assert_eq!(acme("SELECT count(*) FROM drafts").as_deref(), Ok("1"));
        assert_eq!(acme("SELECT count(*) FROM events").as_deref(), Ok("1"));
        assert_eq!(acme("SELECT count(*) FROM events_1").as_deref(), Ok("1"));
        assert_eq!(patient.sees(&[], "SELECT count(*) FROM events_1").as_deref(), Ok("0"));
    }
    patient.is_healthy();
    // A partition that comes later stands open until it is protected as well.
    patient.provoke(
        "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         GRANT SELECT ON events_2 TO {role}",
        "leak",
        "no-row-security",
        "table public.events_2",
    );
    patient.is_healthy();
}

#[test]
fn what_the_role_may_is_found_and_mended() {
    let patient = Patient::new(Version::V15, "role_rights");
    patient.table("orders", "text");
    patient.protect(&["orders"]);
    patient.is_healthy();
    let leak = |sql: &str| patient.provoke(sql, "leak", "privileged-role", "role {role}");
    leak("ALTER ROLE {role} SUPERUSER");
    leak("ALTER ROLE {role} BYPASSRLS");
    leak("ALTER ROLE {role} REPLICATION");
    leak("GRANT pg_execute_server_program TO {role}");
    let warning = |sql: &str, check: &str, object: &str| patient.provoke(sql, "warning", check, object);
    warning("ALTER ROLE {role} CREATEROLE", "create-role", "role {role}");
    warning("GRANT CREATE ON SCHEMA public TO PUBLIC", "may-shadow", "schema public");
    warning("GRANT CREATE ON SCHEMA public TO {role}", "may-shadow", "schema public");
    warning("CREATE SCHEMA {role} AUTHORIZATION {role}", "may-shadow", "schema {role}");
    patient.provoke("ALTER SCHEMA howdah OWNER TO {role}", "leak", "may-shadow", "schema howdah");
    patient.provoke("GRANT TEMPORARY ON DATABASE {db} TO {role}", "info", "may-shadow", "temporary objects");
    patient.provoke("GRANT SELECT ON pg_stat_activity TO PUBLIC", "info", "activity", "pg_stat_activity");
    patient.is_healthy();
}

#[test]
fn what_tables_lack_is_found_and_mended() {
    let patient = Patient::new(Version::V15, "tables_lack");
    patient.table("orders", "text");
    patient.protect(&["orders"]);
    patient.database.query("INSERT INTO orders (tenant_id) VALUES ('acme')");
    let bare = |table: &str, more: &str| {
        format!("CREATE TABLE {table} (tenant_id int); GRANT SELECT ON {table} TO {{role}}; {more}")
    };
    let leak = |sql: &str, check: &str, object: &str| patient.provoke(sql, "leak", check, object);
    let warning = |sql: &str, check: &str, object: &str| patient.provoke(sql, "warning", check, object);
    leak(&bare("bare", "CREATE INDEX ON bare (tenant_id)"), "no-row-security", "table public.bare");
    patient.is_healthy();
    warning(
        &bare("mute", "CREATE INDEX ON mute (tenant_id); ALTER TABLE mute ENABLE ROW LEVEL SECURITY"),
        "no-policy",
        "table public.mute",
    );
    patient.is_healthy();
    warning("DROP INDEX orders_tenant_id_idx", "no-index", "table public.orders");
    warning("GRANT TRUNCATE ON orders TO {role}", "truncate", "table public.orders");
    leak("CREATE POLICY open ON orders USING (true)", "open-policy", "policy open on public.orders");
    patient.is_healthy();
    patient.database.query("DROP POLICY open ON orders");
    patient.protect(&["orders"]);
    leak(
        "CREATE POLICY half ON orders USING (tenant_id = current_setting('app.tenant_id', true)) WITH CHECK (true)",
        "open-policy",
        "policy half on public.orders",
    );
    patient.database.query("DROP POLICY half ON orders");
    patient.protect(&["orders"]);
    leak(
        "CREATE POLICY sly ON orders USING (tenant_id = current_setting('app.tenant_id', true) OR true)",
        "open-without-tenant",
        "table public.orders",
    );
    patient.database.query("DROP POLICY sly ON orders");
    patient.protect(&["orders"]);
    patient.database.query("ALTER TABLE orders NO FORCE ROW LEVEL SECURITY");
    leak("ALTER TABLE orders OWNER TO {role}", "not-forced", "table public.orders");
    warning("SELECT 1", "owner", "table public.orders");
    patient.is_healthy();
    leak(
        "CREATE FOREIGN DATA WRAPPER far; CREATE SERVER far FOREIGN DATA WRAPPER far;
         CREATE FOREIGN TABLE far (tenant_id text) SERVER far; GRANT SELECT ON far TO {role}",
        "foreign-table",
        "table public.far",
    );
    patient.is_healthy();
}

#[test]
fn policies_that_raise_errors_are_found_and_mended() {
    let patient = Patient::new(Version::V15, "raises");
    patient.table("orders", "uuid");
    patient.database.query(
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE INDEX ON orders (tenant_id);
         INSERT INTO orders (tenant_id) VALUES ('6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10')",
    );
    for expression in [
        "tenant_id = current_setting('app.tenant_id')::uuid",
        "tenant_id = current_setting('app.tenant_id', true)::uuid",
        "tenant_id = (SELECT current_setting('app.tenant_id')::uuid)",
    ] {
        patient.database.query("DROP POLICY IF EXISTS own ON orders");
        let sql = format!("CREATE POLICY own ON orders USING ({expression}) WITH CHECK ({expression})");
        patient.provoke(&sql, "warning", "raises-errors", "policy own on public.orders");
        for settings in [&[][..], &[("app.tenant_id", "")]] {
            assert_eq!(patient.sees(settings, "SELECT count(*) FROM orders").as_deref(), Ok("0"));
        }
        let acme = [("app.tenant_id", "6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10")];
        assert_eq!(patient.sees(&acme, "SELECT count(*) FROM orders").as_deref(), Ok("1"));
    }
    patient.is_healthy();
    // A function that reads it is as good; one that nobody can see through is told.
    patient.database.query(
        "CREATE FUNCTION who() RETURNS uuid STABLE LANGUAGE sql
             AS $$ SELECT nullif(current_setting('app.tenant_id', true), '')::uuid $$;
         DROP POLICY own ON orders; CREATE POLICY own ON orders USING (tenant_id = who())",
    );
    patient.is_healthy();
    patient.provoke(
        "CREATE FUNCTION whoever() RETURNS uuid STABLE LANGUAGE sql AS 'SELECT who()';
         DROP POLICY own ON orders; CREATE POLICY own ON orders USING (tenant_id = whoever())",
        "warning",
        "open-policy",
        "policy own on public.orders",
    );
}

#[test]
fn views_and_functions_are_found_and_mended() {
    for version in Version::ALL {
        let patient = Patient::new(version, "views");
        patient.table("orders", "text");
        patient.protect(&["orders"]);
        let leak = |sql: &str, check: &str, object: &str| patient.provoke(sql, "leak", check, object);
        leak(
            "CREATE VIEW all_orders AS SELECT * FROM orders; GRANT SELECT ON all_orders TO {role}",
            "view-owner",
            "view public.all_orders",
        );
        leak(
            "CREATE VIEW over AS SELECT count(*) FROM all_orders; GRANT SELECT ON over TO PUBLIC",
            "view-owner",
            "view public.over",
        );
        leak(
            "CREATE MATERIALIZED VIEW kept AS SELECT * FROM orders; GRANT SELECT ON kept TO {role}, PUBLIC",
            "materialized-view",
            "materialized view public.kept",
        );
        leak(
            "CREATE FUNCTION mighty(a text, b int) RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'",
            "open-search-path",
            "function public.mighty(text,integer)",
        );
        patient.is_healthy();
        if version == Version::V14 {
            let role = &patient.role;
            patient.database.query(&format!(
                "ALTER VIEW all_orders OWNER TO postgres; GRANT SELECT ON all_orders TO {role}"
            ));
            let (_, found) = patient.examine();
            assert!(
                found.iter().any(|f| f.mend.starts_with("ALTER VIEW public.all_orders OWNER TO")),
                "{found:?}"
            );
        }
    }
}

#[test]
fn doctor_says_what_it_cannot_look_at() {
    let mut patient = Patient::new(Version::V15, "unwell");
    patient.config = patient.config.pool("reserve_pool_size = 2").user_with("second", "password = \"wrong\"");
    let output = howdah(&["doctor", "-c", &patient.config_file()]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("error: ") && told.contains("password authentication failed"), "{told}");
    assert!(!told.contains(PASSWORD) && !told.contains("wrong"), "{told}");
    // Two pools of 195 and 2 in reserve, on a server with 200 places and 3 reserved.
    let name = patient.database.name.clone();
    patient.config =
        Config::new(195).pool("reserve_pool_size = 3").database(&patient.database).user(&patient.role);
    patient.config = patient.config.pool("reserve_pool_timeout = \"1s\"");
    let (code, found) = patient.examine();
    let full = found.iter().find(|found| found.check == "max-connections").expect("max-connections");
    assert_eq!((code, full.mend.split(';').next()), (0, Some("ALTER SYSTEM SET max_connections = 201")));
    patient.config = patient.config.pool("max_db_connections = 100");
    assert!(!patient.examine().1.iter().any(|found| found.check == "max-connections"));
    let other = howdah(&["doctor", "-c", &patient.config_file(), "--database", "other"]);
    assert_eq!(other.status.code(), Some(2), "{}", text(&other.stderr));
    patient.config.extra = String::new();
    let told = text(&howdah(&["doctor", "-c", &patient.config_file()]).stdout);
    assert!(told.contains("info: configuration: has no [tenancy]"), "{told}");
    patient.config = Config::new(1).server("*", patient.database.cluster.port, &name, "").user(&patient.role);
    let file = patient.config_file();
    assert_eq!(howdah(&["doctor", "-c", &file]).status.code(), Some(2));
    assert_eq!(howdah(&["doctor", "-c", &file, "--database", &name]).status.code(), Some(0));
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time");
    i64::try_from(since.as_secs()).expect("seconds")
}

fn sign(key: &[u8], pid: i32, seconds: &str, tenant: &str) -> String {
    let message = format!("howdah.v1|{pid}|{seconds}|{tenant}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1.{seconds}.{hex}")
}

/// A key shorter than a block, one as long and one longer.
const KEYS: [&[u8]; 3] = [&[b'k'; 32], &[0xff; 64], &[7; 65]];

#[test]
fn only_a_right_signature_is_believed() {
    for (version, key) in Version::ALL.into_iter().zip(KEYS) {
        let patient = Patient::signed(version, "signed", key);
        patient.table("orders", "text");
        patient.install_signature();
        patient.install_signature();
        patient.protect(&["orders", "--signed"]);
        patient.database.query("INSERT INTO orders (tenant_id) VALUES ('acme'), ('globex')");
        let config = crate::support::howdah::direct_config(
            patient.database.cluster,
            &patient.role,
            &patient.database.name,
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
            let believed = async |tenant: &str, signature: &str| {
                let set = "SELECT set_config('app.tenant_id', $1, false), set_config('howdah.signature', $2, false)";
                client.execute(set, &[&tenant, &signature]).await.unwrap();
                let row = client.query_one("SELECT howdah.tenant_id()", &[]).await.unwrap();
                let rows = client.query("SELECT tenant_id FROM orders", &[]).await.unwrap();
                let seen: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
                let tenant: Option<String> = row.get(0);
                let expected: Vec<String> =
                    tenant.iter().filter(|t| ["acme", "globex"].contains(&t.as_str())).cloned().collect();
                assert_eq!(seen, expected);
                tenant
            };
            let row = client.query_one("SELECT howdah.tenant_id()", &[]).await.unwrap();
            assert_eq!(row.get::<_, Option<String>>(0), None, "nothing is set yet");
            let at = |offset: i64| (now() + offset).to_string();
            for tenant in ["acme", "globex", "Größe 'x' \\ |1|2|", &"x".repeat(256)] {
                let right = sign(key, pid, &at(0), tenant);
                assert_eq!(believed(tenant, &right).await.as_deref(), Some(tenant));
                assert_eq!(believed(tenant, &sign(key, pid, &at(-50), tenant)).await.as_deref(), Some(tenant));
            }
            let right = sign(key, pid, &at(0), "acme");
            let (stamp, hex) = right.rsplit_once('.').unwrap();
            let long = "1".repeat(100);
            for (tenant, signature) in [
                ("globex", right.clone()),
                ("acme ", right.clone()),
                ("ACME", right.clone()),
                ("", right.clone()),
                ("", sign(key, pid, &at(0), "")),
                ("acme", sign(key, pid + 1, &at(0), "acme")),
                ("acme", sign(b"another key, as long as a key is", pid, &at(0), "acme")),
                ("acme", sign(key, pid, &at(-120), "acme")),
                ("acme", sign(key, pid, &at(120), "acme")),
                ("acme", sign(key, pid, "0", "acme")),
                ("acme", sign(key, pid, "", "acme")),
                ("acme", sign(key, pid, &format!("{}|x", at(0)), "acme")),
                ("acme", sign(key, pid, &format!("-{}", at(0)), "acme")),
                ("acme", sign(key, pid, "1e9", "acme")),
                ("acme", sign(key, pid, &long, "acme")),
                // Another cut of the same signed text.
                ("acme", sign(key, pid, "17", "1|acme").replacen(".17.", ".17|1.", 1)),
                ("acme", format!("{stamp}.{}", hex.to_uppercase())),
                ("acme", format!("{right} ")),
                ("acme", format!("{right}\n")),
                ("acme", format!(" {right}")),
                ("acme", format!("{right}.")),
                ("acme", right.replacen("v1", "v2", 1)),
                ("acme", right[..right.len() - 1].to_owned()),
                ("acme", stamp.to_owned()),
                ("acme", format!("{stamp}.")),
                ("acme", String::new()),
                ("acme", "v1".to_owned()),
                ("acme", "...".to_owned()),
                ("acme", "\u{1F40E}'\\".to_owned()),
                ("acme", "x".repeat(100_000)),
            ] {
                assert_eq!(believed(tenant, &signature).await, None, "{tenant} {signature}");
            }
            assert_eq!(believed("acme", &right).await.as_deref(), Some("acme"));
        });
    }
}

#[test]
fn the_key_is_out_of_reach_and_the_check_runs_once() {
    for version in Version::ALL {
        let patient = Patient::signed(version, "key_kept", KEYS[0]);
        let role = &patient.role;
        // Rights that are given to whatever comes.
        patient.database.query(&format!(
            "CREATE SCHEMA howdah; GRANT ALL ON SCHEMA howdah TO {role};
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role}, PUBLIC"
        ));
        patient.table("orders", "uuid");
        patient.install_signature();
        patient.protect(&["orders", "-c", &patient.config_file()]);
        for sql in [
            "SELECT * FROM howdah.signing_key",
            "UPDATE howdah.signing_key SET only_one = true",
            "DELETE FROM howdah.signing_key",
            "COPY howdah.signing_key TO STDOUT",
            "TRUNCATE howdah.signing_key",
        ] {
            assert_eq!(patient.sees(&[], sql), Err("42501".to_owned()), "{sql}");
        }
        let plan = patient.sees(
            &[("enable_seqscan", "on")],
            "DO $$ DECLARE line text; lines text := ''; BEGIN
                 FOR line IN EXPLAIN SELECT * FROM orders LOOP lines := lines || line || E'\\n'; END LOOP;
                 PERFORM set_config('x.plan', lines, false);
             END $$; SHOW x.plan",
        );
        let plan = plan.expect("a plan");
        let once = plan.lines().filter(|line| line.trim_start().starts_with("InitPlan")).count();
        assert_eq!(once, 1, "{plan}");
        let conditions: Vec<&str> = plan.lines().filter(|line| line.contains("tenant_id =")).collect();
        assert!(!conditions.is_empty() && !conditions.iter().any(|line| line.contains("howdah")), "{plan}");
    }
}

#[test]
fn signed_tenants_are_examined() {
    let mut patient = Patient::signed(Version::V15, "signed_well", KEYS[0]);
    let role = patient.role.clone();
    patient.table("orders", "uuid");
    patient.protect(&["orders"]);
    let (code, found) = patient.examine();
    let plain = found.iter().find(|found| found.check == "open-policy").expect("open-policy");
    assert_eq!((code, plain.severity.as_str()), (1, "leak"));
    assert!(
        found.iter().any(|found| found.check == "signature" && found.mend.contains("howdah sql signature"))
    );
    let too_early = patient
        .database
        .cluster
        .try_query(&patient.database.name, &printed(&["sql", "protect", "orders", "--signed"]));
    assert!(too_early.is_err());
    patient.install_signature();
    patient.database.query(&plain.mend);
    patient.is_healthy();
    patient.provoke("GRANT SELECT ON pg_stat_activity TO PUBLIC", "warning", "activity", "pg_stat_activity");
    patient.provoke(
        "CREATE POLICY more ON orders
             USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)",
        "leak",
        "open-policy",
        "policy more on public.orders",
    );
    patient.is_healthy();
    let secret = |key: &[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for broken in [
        format!("GRANT SELECT ON howdah.signing_key TO {role}"),
        format!("ALTER FUNCTION howdah.tenant_id() OWNER TO {role}"),
        "CREATE OR REPLACE FUNCTION howdah.tenant_id() RETURNS text STABLE LANGUAGE sql
             AS $$ SELECT current_setting('app.tenant_id') $$"
            .to_owned(),
        "DELETE FROM howdah.signing_key".to_owned(),
    ] {
        patient.database.query(&broken);
        let (code, found) = patient.examine();
        assert!(
            code == 1 && found.iter().all(|f| f.check == "signature") && !found.is_empty(),
            "{broken}: {found:?}"
        );
        patient.install_signature();
        patient.is_healthy();
    }
    std::fs::write(patient.dir.path().join("tenant.key"), KEYS[2]).expect("tenant.key");
    let output = howdah(&["doctor", "-c", &patient.config_file()]);
    let told = text(&output.stdout);
    assert!(told.contains("does not know the key") && output.status.code() == Some(1), "{told}");
    assert!(!told.contains(&secret(KEYS[2])) && !told.contains(&secret(KEYS[0])), "{told}");
    patient.install_signature();
    patient.is_healthy();
    patient.config = patient.config.user_with("admin", "password = \"x\"\ntenant = \"none\"");
    let output = howdah(&["doctor", "-c", &patient.config_file()]);
    let told = text(&output.stdout);
    assert!(output.status.success() && told.contains("info: login admin: carries no tenant"), "{told}");
}
