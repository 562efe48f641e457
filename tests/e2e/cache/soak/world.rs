//! What the soak reads and writes.

use crate::support::{Config, Database, PASSWORD};

pub(super) const TENANTS: usize = 4;
/// Rows of each tenant in each table.
pub(super) const IDS: usize = 12;

/// Further behind than this, the replication stream pauses the cache.
pub(super) const MAX_LAG_SECONDS: u64 = 1;

const TABLES: &str = "
    CREATE TABLE items (tenant_id text DEFAULT current_setting('app.tenant_id', true), id int, version bigint,
        pad text DEFAULT repeat('x', 1000), PRIMARY KEY (tenant_id, id));
    CREATE TABLE shadow (LIKE items INCLUDING ALL);
    CREATE TABLE parts (tenant_id text, id int, version bigint, PRIMARY KEY (tenant_id, id)) PARTITION BY RANGE (id);
    CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (6);
    CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (6) TO (1000);
    CREATE TABLE parents (tenant_id text, id int, version bigint, PRIMARY KEY (tenant_id, id),
        UNIQUE (tenant_id, id, version));
    CREATE TABLE children (tenant_id text, id int, version bigint, PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, id, version) REFERENCES parents (tenant_id, id, version) ON UPDATE CASCADE);
    CREATE TABLE secret (n int);
    INSERT INTO secret VALUES (42);
    CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO shadow (tenant_id, id, version) VALUES (NEW.tenant_id, NEW.id, NEW.version)
            ON CONFLICT (tenant_id, id) DO UPDATE SET version = EXCLUDED.version;
        RETURN NULL; END $$;
    CREATE TRIGGER follow AFTER INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION follow();
    CREATE FUNCTION item_version(int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT version FROM items WHERE id = $1';
    CREATE FUNCTION put_item(int, bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
        UPDATE items SET version = $2 WHERE id = $1 AND version < $2; RETURN $2; END $$;
    CREATE PROCEDURE put_item_and_commit(int, bigint) LANGUAGE plpgsql AS $$ BEGIN
        UPDATE items SET version = $2 WHERE id = $1 AND version < $2; COMMIT; END $$;
    CREATE PUBLICATION howdah FOR ALL TABLES;
";

/// Tables whose rows are a tenant's.
const OWNED: [&str; 7] = ["items", "shadow", "parts", "parts_low", "parts_high", "parents", "children"];

/// The view as it is made, and made again.
pub(super) fn view(database_version: u32) -> String {
    // Before version 15 a view reads as its owner, who sees all tenants.
    let invoker = if database_version >= 15 { "WITH (security_invoker = true) " } else { "" };
    let own =
        if database_version >= 15 { "" } else { " WHERE tenant_id = current_setting('app.tenant_id', true)" };
    format!("CREATE OR REPLACE VIEW items_view {invoker}AS SELECT tenant_id, id, version FROM items{own}")
}

pub(super) fn tables(database: &Database<'_>) {
    database.query(TABLES);
    database.query(&view(database.cluster.version.major()));
    for table in ["items", "parts", "parents"] {
        for tenant in 0..TENANTS {
            database.query(&format!(
                "INSERT INTO {table} (tenant_id, id, version) SELECT 't{tenant}', n, 0 FROM generate_series(0, {}) n",
                IDS - 1
            ));
        }
    }
    database.query("INSERT INTO children SELECT * FROM parents; ANALYZE");
    for table in OWNED {
        database.query(&format!(
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
             CREATE POLICY own ON {table} USING (tenant_id = current_setting('app.tenant_id', true));
             GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO app"
        ));
    }
    database.query("GRANT SELECT ON items_view, secret TO app");
}

pub(super) fn config(database: &Database<'_>) -> Config {
    // Small, so that entries make room for others all the time.
    Config::new(6)
        .database(database)
        .user("app")
        .user_with("postgres", &format!("password = \"{PASSWORD}\"\ntenant = \"none\""))
        .sections(&format!(
            "[tenancy]\n[tenants.\"*\"]\n[admin]\nusers = [\"postgres\"]\n\
             [cache]\nmax_memory = \"1MB\"\nmax_entry = \"64kB\"\ntenant_share = \"40%\"\n\
             [cache.follow]\nmode = \"replication\"\nmax_lag = \"{MAX_LAG_SECONDS}s\"\nuser = \"postgres\"\npassword = \"{PASSWORD}\"\n"
        ))
}
