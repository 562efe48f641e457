//! What a server must offer to be followed. `howdah doctor` tells it all, and following ends where something is
//! missing.

use crate::backend::{Answer, AskError, Backend, ask};
use crate::config::Follow;

/// Something that a server lacks, or that somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A short name of the kind, the same in every version.
    pub check: &'static str,
    /// What it is about: a table, a role, a setting.
    pub object: String,
    /// One sentence, which begins with a verb.
    pub problem: String,
    /// SQL, or a comment in SQL.
    pub mend: String,
    /// How much it matters.
    pub weight: Weight,
}

/// How much a [`Trouble`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The database cannot be followed: nothing of it is cached.
    Stops,
    /// It will fail, or make others fail.
    Warns,
    /// Worth knowing.
    Informs,
}

const SERVER: &str = "
SELECT s.version_num, s.recovers, s.wal_level, s.slots, s.senders, s.keeps, quote_ident(current_user) AS role,
    r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM pg_roles g
        WHERE g.rolname IN ('rds_replication', 'rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
            AND pg_has_role(current_user, g.oid, 'MEMBER')) AS replicates,
    EXISTS (SELECT FROM pg_proc f WHERE f.proname = 'pg_logical_emit_message'
        AND has_function_privilege(current_user, f.oid, 'EXECUTE')) AS emits,
    p.pubname IS NOT NULL AS published,
    concat_ws(', ', CASE WHEN NOT p.pubinsert THEN 'INSERT' END, CASE WHEN NOT p.pubupdate THEN 'UPDATE' END,
        CASE WHEN NOT p.pubdelete THEN 'DELETE' END, CASE WHEN NOT p.pubtruncate THEN 'TRUNCATE' END) AS lacks
FROM (SELECT current_setting('server_version_num')::int AS version_num, pg_is_in_recovery() AS recovers,
        current_setting('wal_level') AS wal_level, current_setting('max_slot_wal_keep_size') AS keeps,
        current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots) AS slots,
        current_setting('max_wal_senders')::int
            - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender') AS senders) s
    JOIN pg_roles r ON r.rolname = current_user LEFT JOIN pg_publication p ON p.pubname = $1";

/// Ordinary tables and leaves of partitioned ones, and what the publication has of each. `$2`: from 15 on row
/// filters exist.
const TABLES: &str = "
WITH published AS (
    SELECT c.oid, to_jsonb(t) ->> 'rowfilter' IS NOT NULL AS filtered FROM pg_publication_tables t
        JOIN pg_namespace n ON n.nspname = t.schemaname
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
    WHERE t.pubname = $1
), tables AS (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity,
        (SELECT bool_and(p.filtered) FROM published p
         WHERE p.oid = c.oid OR c.relispartition AND p.oid IN (SELECT pg_partition_ancestors(c.oid))) AS filtered
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'information_schema'
        AND n.nspname !~ '^pg_'
), kinds AS (
    SELECT name, CASE WHEN filtered IS NULL THEN 'unpublished' WHEN filtered THEN 'filtered'
        WHEN identity = 'n' OR identity = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = oid
                AND i.indisprimary AND i.indisvalid)
            OR identity = 'i' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = oid AND i.indisreplident)
            THEN 'unidentified' ELSE 'fine' END AS kind
    FROM tables
)
SELECT kind, count(*) AS number, (array_agg(name ORDER BY name))[1] AS first,
    array_to_string((array_agg(name ORDER BY name))[1:5], ', ') AS names
FROM kinds WHERE kind <> 'fine' GROUP BY kind ORDER BY kind";

/// What is amiss with following the database that `server` is connected to. Nothing of `pg_catalog` may be hidden
/// by its `search_path`.
///
/// # Errors
/// A question failed.
pub async fn examine(server: &mut Backend, follow: &Follow) -> Result<Vec<Trouble>, AskError> {
    let publication = Some(follow.publication.as_str());
    let answer = ask(server, SERVER, &[publication]).await?;
    let row = Row { answer: &answer, at: 0 };
    let mut found = Vec::new();
    of_server(row, follow, &mut found);
    if row.is("published") {
        let answer = ask(server, TABLES, &[publication]).await?;
        for at in 0..answer.rows.len() {
            found.extend(of_tables(Row { answer: &answer, at }, follow));
        }
    }
    Ok(found)
}

/// What cannot be lived without, if it is missing.
pub(super) fn what_stops(found: &[Trouble]) -> Option<String> {
    let stops = found.iter().find(|trouble| trouble.weight == Weight::Stops)?;
    Some(format!("{} {}", stops.object, stops.problem))
}

fn of_server(row: Row<'_>, follow: &Follow, found: &mut Vec<Trouble>) {
    let mut add = |weight, check, object: &str, problem: String, mend: String| {
        found.push(Trouble { check, object: object.to_owned(), problem, mend, weight });
    };
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    if row.number("version_num") < 140_000 {
        let problem = "is older than PostgreSQL 14: it cannot be followed".to_owned();
        add(Weight::Stops, "follow-version", "server", problem, "-- use a newer server".to_owned());
    }
    if row.is("recovers") {
        let problem = "is a standby: only the primary can be followed".to_owned();
        add(Weight::Stops, "follow-standby", "server", problem, "-- follow the primary".to_owned());
    }
    if row.text("wal_level") != "logical" {
        let problem = format!("is {}: replication in mode logical needs it", row.text("wal_level"));
        let mend = "ALTER SYSTEM SET wal_level = 'logical'; -- and restart the server".to_owned();
        add(Weight::Stops, "follow-wal-level", "wal_level", problem, mend);
    }
    let publication = format!("publication {}", follow.publication);
    if !row.is("published") {
        let mend = "-- run what `howdah sql follow` prints".to_owned();
        add(Weight::Stops, "follow-publication", &publication, "does not exist".to_owned(), mend);
    } else if !row.text("lacks").is_empty() {
        let problem = format!("does not publish {}: what is written so would not be seen", row.text("lacks"));
        let mend = format!(
            "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate');",
            quoted(&follow.publication)
        );
        add(Weight::Stops, "follow-publication", &publication, problem, mend);
    }
    let role = format!("role {}", row.text("role"));
    if !row.is("emits") {
        let problem = "may not call pg_logical_emit_message, which tells how far the stream lags".to_owned();
        let mend = format!(
            "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) TO {};",
            row.text("role")
        );
        add(Weight::Stops, "follow-role", &role, problem, mend);
    }
    if !row.is("replicates") {
        let problem = "has no REPLICATION: it cannot follow the database".to_owned();
        let mend = match follow.user {
            Some(_) => format!("ALTER ROLE {} REPLICATION;", row.text("role")),
            // Who replicates reads all rows: not a right for the role that applications use.
            None => "CREATE ROLE howdah_follow LOGIN REPLICATION PASSWORD '…'; -- for [cache.follow] user"
                .to_owned(),
        };
        add(Weight::Warns, "follow-role", &role, problem, mend);
    }
    for (column, setting) in [("slots", "max_replication_slots"), ("senders", "max_wal_senders")] {
        if row.number(column) < 1 {
            let problem = "is used up: following the database takes one".to_owned();
            let mend = format!("ALTER SYSTEM SET {setting} = 20; -- and restart the server");
            add(Weight::Warns, "follow-slots", setting, problem, mend);
        }
    }
    if follow.slot.is_some() && row.text("keeps") == "-1" {
        let problem = "is -1: while no Howdah reads a permanent slot, the server's log grows without a bound"
            .to_owned();
        let mend = "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; -- and pg_reload_conf()".to_owned();
        add(Weight::Warns, "follow-slot", "max_slot_wal_keep_size", problem, mend);
    }
}

fn of_tables(row: Row<'_>, follow: &Follow) -> Option<Trouble> {
    let number = row.number("number");
    let (object, whose) = if number == 1 {
        (format!("table {}", row.text("first")), "is")
    } else {
        let more = if number > 5 { ", …" } else { "" };
        (format!("{number} tables ({}{more})", row.text("names")), "are")
    };
    let publication = &follow.publication;
    let (check, weight, problem, mend) = match row.text("kind") {
        "unpublished" => (
            "follow-unpublished",
            Weight::Informs,
            format!(
                "{whose} not in the publication {publication}: answers from there live by their time only"
            ),
            "-- run what `howdah sql follow` prints",
        ),
        "filtered" => (
            "follow-filtered",
            Weight::Informs,
            format!(
                "{whose} in the publication {publication} with a row filter: answers from there live by their time only"
            ),
            "-- use a publication of Howdah's own, without row filters",
        ),
        "unidentified" => (
            "follow-identity",
            Weight::Warns,
            format!(
                "{whose} in the publication {publication} without a replica identity: UPDATE and DELETE fail there"
            ),
            "-- give it a primary key, or ALTER TABLE … REPLICA IDENTITY FULL, or take it out of the publication",
        ),
        _ => return None,
    };
    Some(Trouble { check, object, problem, mend: mend.to_owned(), weight })
}

/// One row of an answer.
#[derive(Clone, Copy)]
struct Row<'a> {
    answer: &'a Answer,
    at: usize,
}

impl Row<'_> {
    fn text(&self, column: &str) -> &str {
        let at = self.answer.column(column);
        let value = at.and_then(|at| self.answer.rows.get(self.at)?.get(at)?.as_deref());
        value.unwrap_or_default()
    }

    fn is(&self, column: &str) -> bool {
        self.text(column) == "t"
    }

    fn number(&self, column: &str) -> i64 {
        self.text(column).parse().unwrap_or_default()
    }
}
