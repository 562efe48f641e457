-- A small shop with three tenants in one database. Every table carries its tenant, and row-level
-- security compares it with app.tenant_id. Who sets no tenant sees no rows: an unset setting reads as
-- NULL, and one that was set once in the session reads as '' afterwards, hence nullif.

CREATE ROLE demo_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD 'demo';

CREATE TABLE tenants (
    id text PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE users (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES tenants,
    email text NOT NULL,
    UNIQUE (tenant_id, email)
);

CREATE TABLE orders (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL DEFAULT nullif(current_setting('app.tenant_id', true), '') REFERENCES tenants,
    user_id int NOT NULL REFERENCES users,
    product text NOT NULL,
    amount numeric(10, 2) NOT NULL CHECK (amount > 0),
    placed_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX ON users (tenant_id);
CREATE INDEX ON orders (tenant_id, placed_at);

INSERT INTO tenants VALUES ('acme', 'Acme Corporation'), ('globex', 'Globex'), ('initech', 'Initech');

INSERT INTO users (tenant_id, email)
SELECT t.id, format('%s@%s.example', person, t.id)
FROM tenants t, unnest(ARRAY['ada', 'bob', 'cleo', 'dan']) AS person
ORDER BY t.id, person;

INSERT INTO orders (tenant_id, user_id, product, amount, placed_at)
SELECT
    t.id,
    (SELECT min(u.id) FROM users u WHERE u.tenant_id = t.id) + n % 4,
    (ARRAY['anvil', 'rocket skates', 'stapler', 'earthquake pills', 'fax machine'])[1 + (n * 7) % 5],
    5 + (n * 37) % 400 + 0.95,
    timestamptz '2025-01-01 09:00+00' + n * interval '7 hours'
FROM (SELECT id, 24 + 12 * row_number() OVER (ORDER BY id) AS orders FROM tenants) AS t,
    generate_series(1, t.orders) AS n;

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON tenants USING (id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY own ON users USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY own ON orders USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''));

GRANT SELECT ON tenants TO demo_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON users, orders TO demo_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO demo_app;
