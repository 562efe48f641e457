//! The ways in which a row is written, and what becomes of it.

use super::oracle::{Chain, Write};
use crate::support::Dice;
use crate::support::wire::{bind, execute, parse, query, sync};

/// One write: its frames, and which version it leaves if all of them are done; `None`: nothing.
pub(super) struct Script {
    pub(super) way: &'static str,
    pub(super) frames: Vec<Vec<u8>>,
    /// ReadyForQuery that answer them.
    pub(super) answers: usize,
    pub(super) version: Option<u64>,
    /// An error is meant to come.
    pub(super) fails: bool,
}

const OF_ITEMS: [&str; 14] = [
    "simple",
    "extended",
    "transaction",
    "one text",
    "rollback",
    "savepoint",
    "error",
    "upsert",
    "merge",
    "CTE",
    "DO",
    "function",
    "procedure",
    "prepared",
];
const OF_OTHERS: [&str; 7] =
    ["simple", "extended", "transaction", "one text", "rollback", "savepoint", "error"];

/// A write of this row by a client of its tenant.
pub(super) fn script(chain: Chain, id: usize, merge: bool, write: &Write<'_>, dice: &mut Dice) -> Script {
    let table = match chain {
        Chain::Items => "items",
        Chain::Parts if dice.one_in(2) => {
            if id < 6 {
                "parts_low"
            } else {
                "parts_high"
            }
        }
        Chain::Parts => "parts",
        Chain::Parents => "parents",
    };
    let mut way = if chain == Chain::Items { dice.pick(&OF_ITEMS) } else { dice.pick(&OF_OTHERS) };
    if way == "merge" && !merge {
        way = "upsert";
    }
    // A connection that was lost may have left a write that is still to come: it shall not undo this one.
    let update =
        |version| format!("UPDATE {table} SET version = {version} WHERE id = {id} AND version < {version}");
    let simple = |texts: Vec<String>, version| Script {
        way,
        answers: texts.len(),
        frames: texts.iter().map(|text| query(text)).collect(),
        version,
        fails: false,
    };
    let begin = || "BEGIN".to_owned();
    let commit = || "COMMIT".to_owned();
    match way {
        "rollback" => simple(vec![begin(), update(write.next_void()), "ROLLBACK".to_owned()], None),
        "error" => {
            let texts = vec![begin(), update(write.next_void()), "SELECT 1 / 0".to_owned(), commit()];
            Script { fails: true, ..simple(texts, None) }
        }
        "savepoint" => {
            let void = update(write.next_void());
            let version = write.next();
            let words = ["SAVEPOINT s".to_owned(), void, "ROLLBACK TO s".to_owned(), update(version)];
            simple([vec![begin()], words.to_vec(), vec![commit()]].concat(), Some(version))
        }
        _ => {
            let version = write.next();
            let update = update(version);
            let texts = match way {
                "extended" => {
                    let text = format!("UPDATE {table} SET version = $1 WHERE id = $2 AND version < $1");
                    let (version_text, id) = (version.to_string(), id.to_string());
                    let bound = bind("", "", &[Some(&version_text), Some(&id)]);
                    let frames = vec![parse("", &text), bound, execute("", 0), sync()];
                    return Script { way, frames, answers: 1, version: Some(version), fails: false };
                }
                "transaction" => vec![begin(), update, commit()],
                "one text" => vec![format!("BEGIN; {update}; COMMIT")],
                "upsert" => vec![format!(
                    "INSERT INTO items (id, version) VALUES ({id}, {version}) ON CONFLICT (tenant_id, id) \
                     DO UPDATE SET version = EXCLUDED.version WHERE items.version < EXCLUDED.version"
                )],
                "merge" => vec![format!(
                    "MERGE INTO items USING (VALUES ({id}, {version}::bigint)) s (i, v) ON items.id = s.i \
                     WHEN MATCHED AND version < s.v THEN UPDATE SET version = s.v"
                )],
                "CTE" => vec![format!("WITH w AS ({update} RETURNING 1) SELECT count(*) FROM w")],
                "DO" => vec![format!("DO $$ BEGIN {update}; END $$")],
                "function" => vec![format!("SELECT put_item({id}, {version})")],
                "procedure" => vec![format!("CALL put_item_and_commit({id}, {version})")],
                "prepared" => {
                    let name = format!("put_{}", dice.below(1_000_000_000));
                    vec![
                        format!("PREPARE {name} AS {update}"),
                        format!("EXECUTE {name}"),
                        format!("DEALLOCATE {name}"),
                    ]
                }
                _ => vec![update],
            };
            simple(texts, Some(version))
        }
    }
}
