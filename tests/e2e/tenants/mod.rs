//! Tenants with real servers: who they are, what their transactions run with, what they may not do.

mod attacks;
mod forms;
mod identity;
mod limits;
mod refused;
mod round_trips;
mod storm;

use crate::support::wire::{Message, Wire};
use crate::support::{Cluster, Config, Database, Howdah, Version};

/// Rows of three tenants in one table under row-level security, which shows only those of `app.tenant_id`.
const SHOP: &str = "
    CREATE TABLE orders (id serial PRIMARY KEY, tenant_id text NOT NULL
        DEFAULT nullif(current_setting('app.tenant_id', true), ''), item text NOT NULL);
    INSERT INTO orders (tenant_id, item) VALUES
        ('acme', 'anvil'), ('acme', 'rope'), ('globex', 'reactor'), ('initech', 'stapler');
    ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
    ALTER TABLE orders FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON orders USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
    ALTER TABLE orders OWNER TO app;
    ALTER SEQUENCE orders_id_seq OWNER TO app;
    CREATE TABLE copied (tenant_id text NOT NULL
        DEFAULT nullif(current_setting('app.tenant_id', true), ''), item text);
    ALTER TABLE copied OWNER TO app;
    CREATE FUNCTION seen() RETURNS text LANGUAGE sql STABLE AS
        $$ SELECT coalesce(string_agg(item, ' ' ORDER BY item), '') FROM orders $$;
    CREATE PROCEDURE twice(what text) LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO copied (item) VALUES (what || '1'); COMMIT;
        INSERT INTO copied (item) VALUES (what || '2'); COMMIT; END $$;";

/// What each tenant sees of it.
const ACME: &str = "anvil rope";
const GLOBEX: &str = "reactor";

fn shop<'a>(version: Version, name: &str) -> Database<'a> {
    let database = Cluster::shared(version).database(name);
    database.query(SHOP);
    database
}

/// Tenants by every way, any tenant.
const ANY: &str = "[tenancy]\n[tenants.\"*\"]\n";

fn config(size: usize, database: &Database<'_>, tenancy: &str) -> Config {
    let mut config = Config::new(size).database(database).user("app");
    config.extra += tenancy;
    config
}

fn login(howdah: &Howdah, database: &Database<'_>, user: &str) -> Wire {
    Wire::login(("127.0.0.1", howdah.port), user, &database.name)
}

fn code(messages: &[Message]) -> String {
    messages.iter().find(|m| m.tag == b'E').map(Message::sqlstate).unwrap_or_default()
}

const SEEN: &str = "SELECT seen()";
