//! What the server's catalogues say of definitions and rights, as one text that differs when they do.
//!
//! Logical replication does not carry DDL, GRANT or REVOKE, so they are looked for. Measured on 14, 15 and 18: the
//! change counters of `pg_stat_sys_tables` come up to 10 seconds late, on 14 never as long as the session that made
//! the change stays idle. What is visible of the catalogues themselves is exact. Rows are told apart by their `xmin`,
//! which each change renews; those of `pg_class` by what matters in them, since TRUNCATE, REFRESH and VACUUM FULL
//! renew them as well. What belongs to temporary tables is left out: nothing of those is kept.

use std::fmt::Write;

/// Rows of a catalogue: where from, what identifies one, which.
const ROWS: [(&str, &str, &str); 14] = [
    (
        "pg_attribute a JOIN pg_class c ON c.oid = a.attrelid",
        "a.attrelid::int8 << 32 | a.xmin::text::int8, a.attnum",
        "a.attnum > 0 AND a.attrelid >= 16384 AND c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
    ),
    ("pg_proc p", "p.oid::int8 << 32 | p.xmin::text::int8, 0", TRUE),
    ("pg_policy p", "p.oid::int8 << 32 | p.xmin::text::int8, 0", TRUE),
    (
        "pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class",
        "r.oid::int8 << 32 | r.xmin::text::int8, 0",
        "r.oid >= 16384 AND c.relpersistence <> 't'",
    ),
    ("pg_inherits i", "i.inhrelid::int8 << 32 | i.xmin::text::int8, i.inhparent::int8", TRUE),
    (
        "pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid",
        "t.oid::int8 << 32 | t.xmin::text::int8, 0",
        "c.relpersistence <> 't'",
    ),
    (
        "pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conrelid",
        "k.oid::int8 << 32 | k.xmin::text::int8, 0",
        "k.oid >= 16384 AND c.relpersistence IS DISTINCT FROM 't'",
    ),
    ("pg_namespace n", "n.oid::int8 << 32 | n.xmin::text::int8, 0", "n.nspname !~ '^pg_(toast_)?temp_'"),
    (
        "pg_type t",
        "t.oid::int8 << 32 | t.xmin::text::int8, 0",
        "t.oid >= 16384 AND t.typtype IN ('d', 'e', 'r')",
    ),
    ("pg_enum e", "e.oid::int8 << 32 | e.xmin::text::int8, 0", TRUE),
    ("pg_auth_members m", "m.roleid::int8 << 32 | m.xmin::text::int8, m.member::int8", TRUE),
    ("pg_db_role_setting s", "s.setrole::int8 << 32 | s.xmin::text::int8, s.setdatabase::int8", TRUE),
    ("pg_publication p", "p.oid::int8 << 32 | p.xmin::text::int8, 0", TRUE),
    ("pg_publication_rel p", "p.oid::int8 << 32 | p.xmin::text::int8, 0", TRUE),
];
const TRUE: &str = "true";

/// New in 15: publications of whole schemas.
const SCHEMAS: (&str, &str, &str) =
    ("pg_publication_namespace p", "p.oid::int8 << 32 | p.xmin::text::int8, 0", TRUE);

/// Tables and views, and roles, whose rows in `pg_authid` not everybody may read.
const TEXTS: [(&str, &str, &str); 2] = [
    (
        "pg_class c",
        "c.oid, c.relname, c.relnamespace, c.relowner, c.relkind, c.relpersistence, c.relacl, c.relrowsecurity, \
         c.relforcerowsecurity, c.relispartition, c.reloptions",
        "c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
    ),
    ("pg_roles r", "r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolbypassrls", TRUE),
];

/// The question, for a server of this major version. Its answer is one text.
pub(super) fn question(major: u32) -> String {
    let mut parts = Vec::new();
    for (from, what, which) in ROWS.iter().chain((major >= 15).then_some(&SCHEMAS)) {
        let (number, seed) = what.rsplit_once(',').unwrap_or((what, "0"));
        parts.push(part(&format!("hashint8extended({number},{seed})"), from, which));
    }
    for (from, what, which) in TEXTS {
        parts.push(part(&format!("hashtextextended(concat_ws('/', {what}), 0)"), from, which));
    }
    format!("SELECT concat_ws(' ', {})", parts.join(", "))
}

fn part(hash: &str, from: &str, which: &str) -> String {
    let mut sql = String::from("(SELECT count(*) || ':' || coalesce(bit_xor(");
    let _ = write!(sql, "{hash}), 0) FROM {from} WHERE {which})");
    sql
}
