//! Attacks of one tenant on another. The attacker runs whatever SQL it likes as the pool's role; it may make
//! objects in a schema of its own and temporary ones, and there are functions that run what text they are given,
//! which no reader of queries sees. The victim works on the same server connections in between.

mod forgeries;
mod moves;
mod protocol;
mod replays;

use crate::support::wire::{Message, Wire, bind, execute, parse, query, sync};
use crate::support::{Cluster, Config, Database, Howdah, PASSWORD, Version};
use std::process::Command;

/// Parts of the victim's values, which the attacker must not see and which are in no text that anybody sends.
const CANARIES: [&str; 4] = ["B-SECRET", "B-OTHER", "B-WRITTEN", "B-SIMPLE"];

/// What the tables hold at first.
const TABLES: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, tenant_id text NOT NULL
        DEFAULT nullif(current_setting('app.tenant_id', true), ''), secret text UNIQUE, note text);
    INSERT INTO orders VALUES (1, 'acme', 'A-ROW', 'x'), (2, 'globex', 'B-SECRET', 'x'), (3, 'globex', 'B-OTHER', 'x');
    ALTER TABLE orders OWNER TO {owner};
    GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO {app};
    CREATE FUNCTION run(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE what; END $$;
    CREATE FUNCTION ask(what text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE answer text; BEGIN
        EXECUTE 'SELECT string_agg(x::text, '' '') FROM (' || what || ') x' INTO answer; RETURN answer; END $$;
    CREATE PROCEDURE run_twice(what text) LANGUAGE plpgsql AS $$ BEGIN
        EXECUTE what; COMMIT; EXECUTE what; ROLLBACK; EXECUTE what; END $$;
    ALTER FUNCTION run OWNER TO {owner}; ALTER FUNCTION ask OWNER TO {owner};";

/// What is made anew before each attack.
const FRESH: &str = "
    ALTER ROLE {app} RESET ALL; ALTER ROLE {app} IN DATABASE {name} RESET ALL;
    SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
    DELETE FROM orders WHERE tenant_id = 'acme'; INSERT INTO orders VALUES (1, 'acme', 'A-ROW', 'x');
    DROP SCHEMA IF EXISTS scratch CASCADE; CREATE SCHEMA scratch AUTHORIZATION {app}; SET ROLE {app};
    CREATE TABLE scratch.stash (what text)";

/// Everything that a session keeps, and what a stranger could have put into it.
const LEFT: &str = "
    SELECT concat_ws(' ', (SELECT count(*) FROM pg_cursors),
        (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
        (SELECT count(*) FROM pg_listening_channels()),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid)),
        current_user, session_user, current_setting('search_path'), current_setting('row_security'),
        current_setting('work_mem'), current_setting('statement_timeout'), current_setting('lock_timeout'),
        current_setting('default_transaction_read_only'), current_setting('transaction_read_only'),
        current_setting('client_min_messages'), current_setting('debug_print_plan'),
        current_setting('client_encoding'), current_setting('standard_conforming_strings'),
        current_setting('session_replication_role'), current_setting('bytea_output'), current_setting('DateStyle'),
        nullif(current_setting('app.planted', true), ''))";

/// Two server connections, an attacker with two clients and a victim with two.
struct Arena {
    database: Database<'static>,
    howdah: Howdah,
    role: String,
    a: [Wire; 2],
    b: [Wire; 2],
    /// The attackers' transactions that are open.
    open: [bool; 2],
    /// Everything that the attackers received.
    heard: Vec<Message>,
    /// What they must not hear besides the rows: the victim's signatures.
    signatures: Vec<String>,
    /// What a fresh session looks like.
    left: String,
    /// The attack that is on.
    name: String,
    writes: u32,
    _dir: tempfile::TempDir,
}

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_howdah")).args(arguments).output().expect("howdah");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Sends frames and reads the answers, or up to the end of the connection.
fn talk(wire: &mut Wire, frames: &[Vec<u8>], ready: usize) -> Vec<Message> {
    let mut answers = Vec::new();
    if wire.try_send(frames).is_err() {
        return answers;
    }
    let mut seen = 0;
    while seen < ready {
        match wire.try_read() {
            Ok(Some(message)) => {
                seen += usize::from(message.tag == b'Z');
                answers.push(message);
            }
            end => {
                assert!(
                    !matches!(&end, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock),
                    "it hangs: {answers:?}"
                );
                return answers;
            }
        }
    }
    answers
}

fn unnamed(text: &str, parameters: &[Option<&str>]) -> Vec<Vec<u8>> {
    vec![parse("", text), bind("", "", parameters), execute("", 0), sync()]
}

fn rows(messages: &[Message]) -> Vec<String> {
    let rows = messages.iter().filter(|m| m.tag == b'D');
    rows.map(|m| m.row().into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("|")).collect()
}

impl Arena {
    fn new(version: Version, name: &str, signed: bool) -> Self {
        Self::with(version, name, signed, ["", ""])
    }

    /// With a line more in `[pool]` and one in `[tenants."*"]`.
    fn with(version: Version, name: &str, signed: bool, [pool, tenants]: [&str; 2]) -> Self {
        let cluster = Cluster::shared(version);
        let database = cluster.database(name);
        let (owner, app) = (format!("{name}_owner"), format!("{name}_app"));
        cluster.query("postgres", &format!(
            "DROP ROLE IF EXISTS {owner}, {app}; CREATE ROLE {owner}; CREATE ROLE {app} LOGIN PASSWORD '{PASSWORD}';
             ALTER DATABASE {name} OWNER TO postgres; GRANT TEMPORARY ON DATABASE {name} TO {app}"));
        database.query("ALTER SCHEMA public OWNER TO postgres; REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC");
        database.query(&TABLES.replace("{owner}", &owner).replace("{app}", &app));
        database.query(&FRESH.replace("{app}", &app).replace("{name}", name));
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("tenant.key"), [0x42; 48]).expect("tenant.key");
        // What an attack leaves shall meet the victim on the same server connection.
        let mut config = Config::new(2).database(&database).user(&app).pool(pool).pool("pin = \"never\"");
        config.extra = "[tenancy]\n".to_owned();
        if signed {
            config.extra +=
                &format!("[tenancy.signature]\nkey_file = \"{}\"\n", dir.path().join("tenant.key").display());
        }
        config.extra += &format!("[tenants.\"*\"]\n{tenants}\n");
        let file = dir.path().join("howdah.toml");
        std::fs::write(&file, config.toml()).expect("howdah.toml");
        let file = file.to_str().expect("UTF-8");
        if signed {
            database.query(&printed(&["sql", "signature", "-c", file]));
            database.query(&printed(&["sql", "protect", "orders", "--signed", "-c", file]));
        } else {
            database.query(&printed(&["sql", "protect", "orders", "-c", file]));
        }
        let howdah = config.start();
        let login = |tenant: &str| Wire::login(("127.0.0.1", howdah.port), &format!("{app}.{tenant}"), name);
        let mut arena = Self {
            a: [login("acme"), login("acme")],
            b: [login("globex"), login("globex")],
            open: [false; 2],
            heard: Vec::new(),
            signatures: Vec::new(),
            left: String::new(),
            name: "none".to_owned(),
            writes: 0,
            database,
            howdah,
            role: app.clone(),
            _dir: dir,
        };
        for wire in &mut arena.b {
            wire.exchange(&[parse("mine", "SELECT secret FROM orders ORDER BY id"), sync()]);
        }
        arena.left = arena.b[0].value(LEFT);
        assert!(arena.left.starts_with("0 0 0 0 0 "), "{}", arena.left);
        arena
    }

    fn login(&self, tenant: &str) -> Wire {
        Wire::login(("127.0.0.1", self.howdah.port), &format!("{}.{tenant}", self.role), &self.database.name)
    }

    /// Two new clients of the attacker's.
    fn begin(&mut self, name: &str) {
        self.name = name.to_owned();
        self.heard.clear();
        self.open = [false; 2];
        self.a = [self.login("acme"), self.login("acme")];
    }

    /// One of the attackers' clients sends frames; what it gets is remembered.
    fn attack(&mut self, client: usize, frames: &[Vec<u8>], ready: usize) -> Vec<Message> {
        let answers = talk(&mut self.a[client], frames, ready);
        self.open[client] = match answers.last() {
            Some(last) if last.tag == b'Z' => last.body != b"I",
            _ => {
                self.a[client] = self.login("acme"); // it was thrown out
                false
            }
        };
        self.heard.extend(answers.iter().cloned());
        answers
    }

    /// The victim works, on all connections that are free.
    fn victim(&mut self) {
        let free = self.open.iter().filter(|open| !**open).count();
        if free == 2 {
            let begun = self.b[0].query("BEGIN");
            assert_eq!(super::code(&begun), "", "{}", self.name);
            self.victim_works(0);
            self.victim_works(1);
            assert_eq!(super::code(&self.b[0].query("COMMIT")), "", "{}", self.name);
        } else {
            self.victim_works(1);
        }
        let gone = self.b[1].query("DELETE FROM orders WHERE id NOT IN (2, 3) RETURNING id");
        assert_eq!(rows(&gone).len(), free * 2, "{}: deletes what it wrote", self.name);
    }

    /// One client of the victim's uses every way to reach its rows, and finds its own ones only.
    fn victim_works(&mut self, client: usize) {
        self.writes += 1;
        let (id, name) = ((100 + self.writes).to_string(), self.name.clone());
        let b = &mut self.b[client];
        let sees = |b: &mut Wire| rows(&b.query("SELECT secret, tenant_id FROM orders ORDER BY id"));
        assert_eq!(sees(b), ["B-SECRET|globex", "B-OTHER|globex"], "{name}: by a simple query");
        let signature = b.value("SELECT current_setting('howdah.signature', true)");
        let one = b.exchange(&unnamed("SELECT secret FROM orders WHERE id = $1", &[Some("2")]));
        assert_eq!(rows(&one), ["B-SECRET"], "{name}: by the unnamed statement");
        let frames = [bind("", "mine", &[]), execute("", 0), sync()];
        let named = b.exchange(&frames);
        assert_eq!(rows(&named), ["B-SECRET", "B-OTHER"], "{name}: by a named statement: {named:?}");
        let written = b.exchange(&unnamed(
            "INSERT INTO orders (id, secret) VALUES ($1, $2) RETURNING tenant_id, tableoid::regclass",
            &[Some(&id), Some(&format!("B-WRITTEN-{id}"))],
        ));
        assert_eq!(rows(&written), ["globex|orders"], "{name}: writes: {written:?}");
        let simple = b.query(&format!(
            "INSERT INTO orders (id, secret) VALUES (-{id}, 'B' || '-SIMPLE-' || {id}) RETURNING tenant_id"
        ));
        assert_eq!(rows(&simple), ["globex"], "{name}: writes by a simple query: {simple:?}");
        let changed =
            b.query(&format!("UPDATE orders SET note = 'x' WHERE id IN ({id}, -{id}) RETURNING id"));
        assert_eq!(rows(&changed).len(), 2, "{name}: finds what it wrote");
        assert_eq!(b.value(LEFT), self.left, "{name}: a clean session");
        self.signatures.push(signature);
    }

    /// After the attack.
    fn judge(&mut self) {
        let name = self.name.clone();
        for client in 0..2 {
            if self.open[client] {
                self.attack(client, &[query("SELECT * FROM orders")], 1);
                self.attack(client, &[query("ROLLBACK")], 1);
            }
        }
        self.victim();
        for client in 0..2 {
            self.attack(client, &[query("SELECT * FROM orders; TABLE scratch.stash")], 1);
            self.attack(
                client,
                &unnamed("SELECT to_json(o), (SELECT count(*) FROM orders) FROM orders o", &[]),
                1,
            );
        }
        let canary = |bytes: &[u8]| {
            let signature = |s: &String| !s.is_empty() && bytes.windows(s.len()).any(|w| w == s.as_bytes());
            CANARIES.iter().any(|c| bytes.windows(c.len()).any(|w| w == c.as_bytes()))
                || self.signatures.iter().any(signature)
        };
        for message in &self.heard {
            assert!(!canary(&message.body), "{name}: {message:?}");
        }
        // What it could fetch later.
        let kept = self.database.query(
            "SELECT query_to_xml(format('SELECT * FROM %s', c.oid::regclass), true, true, '')::text FROM pg_class c
                 WHERE relnamespace = 'scratch'::regnamespace AND relkind IN ('r', 'm', 'p')
             UNION ALL SELECT convert_from(lo_get(oid), 'LATIN1') FROM pg_largeobject_metadata",
        );
        let kept = format!("{kept:?}");
        assert!(!canary(kept.as_bytes()), "{name}: {kept}");
        // Rows of the victim: those that it wrote, and no others, under its name.
        let all = "SELECT count(*) FILTER (WHERE secret IN ('B-SECRET', 'B-OTHER') AND note = 'x' AND id IN (2, 3)) || ' '
            || count(*) FILTER (WHERE secret LIKE 'B-WRITTEN%' OR secret LIKE 'B-SIMPLE%') || ' ' || count(*)
            FROM orders WHERE tenant_id = 'globex'";
        assert_eq!(self.database.value(all), "2 0 2".to_owned(), "{name}: rows");
        assert_eq!(
            self.database
                .value("SELECT count(*) FROM orders WHERE secret LIKE 'B-%' AND tenant_id <> 'globex'"),
            "0",
            "{name}"
        );
        // And it still serves, the attacker too. Its rows may be gone or more by now, by its own doing.
        let count = "SELECT count(*) FROM orders WHERE tenant_id = 'acme'";
        assert_eq!(
            self.login("acme").value("SELECT count(*) FROM orders"),
            self.database.value(count),
            "{name}"
        );
    }
}
