//! What is asked, and in which form.

use std::time::Duration;

use super::oracle::Chain;
use super::world::MAX_LAG_SECONDS;
use crate::support::Dice;
use crate::support::wire::{
    bind_formats, close_statement, describe_portal, describe_statement, execute, parse, query, sync,
};

/// A query whose rows begin with whose they are, their number and their version.
pub(super) struct Read {
    pub(super) chain: Chain,
    /// With `$1` for the number, if it is of one row.
    pub(super) text: &'static str,
    pub(super) of_one: bool,
    /// It gives `soak.who` too.
    pub(super) says_who: bool,
}

const fn read(chain: Chain, text: &'static str) -> Read {
    Read { chain, text, of_one: true, says_who: false }
}

pub(super) const READS: [Read; 12] = [
    read(Chain::Items, "SELECT tenant_id, id, version FROM items WHERE id = $1"),
    Read { of_one: false, ..read(Chain::Items, "SELECT tenant_id, id, version FROM items ORDER BY id") },
    Read { of_one: false, ..read(Chain::Items, "SELECT tenant_id, id, version, pad FROM items LIMIT 100") },
    read(Chain::Items, "SELECT tenant_id, id, version FROM items_view WHERE id = $1"),
    read(Chain::Items, "SELECT tenant_id, id, item_version(id) FROM items WHERE id = $1"),
    read(Chain::Items, "WITH x AS (SELECT * FROM items) SELECT tenant_id, id, version FROM x WHERE id = $1"),
    read(Chain::Items, "SELECT tenant_id, id, version FROM shadow WHERE id = $1"),
    Read {
        says_who: true,
        ..read(
            Chain::Items,
            "SELECT tenant_id, id, version, current_setting('soak.who', true) FROM items WHERE id = $1",
        )
    },
    read(Chain::Parts, "SELECT tenant_id, id, version FROM parts WHERE id = $1"),
    Read { of_one: false, ..read(Chain::Parts, "SELECT tenant_id, id, version FROM parts_low") },
    read(Chain::Parents, "SELECT tenant_id, id, version FROM parents WHERE id = $1"),
    read(Chain::Parents, "SELECT tenant_id, id, version FROM children WHERE id = $1"),
];

/// How long an answer may be kept, and how much longer while another is fetched.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) ttl: u64,
    pub(super) stale: u64,
}

impl Mark {
    pub(super) const ALL: [Self; 4] = [
        Self { ttl: 1, stale: 0 },
        Self { ttl: 60, stale: 0 },
        Self { ttl: 1, stale: 1 },
        Self { ttl: 300, stale: 30 },
    ];

    pub(super) fn comment(self) -> String {
        match self.stale {
            0 => format!("/* howdah.cache='{}s' */ ", self.ttl),
            stale => format!("/*howdah.cache='{}s',howdah.stale='{stale}s'*/", self.ttl),
        }
    }

    /// For how long what was committed past Howdah may not be seen: the mark's own time, or until the stream must
    /// have told of it, or the cache paused. The stream is judged by heartbeats, a quarter of `max_lag` apart; as
    /// much again as that is for a machine that does other things.
    pub(super) fn unseen(self) -> Duration {
        Duration::from_secs(self.ttl + self.stale).min(Duration::from_secs(3 * MAX_LAG_SECONDS))
    }
}

/// The frames of a read, and how many ReadyForQuery answer them.
pub(super) fn frames(
    read: &Read,
    mark: &str,
    id: usize,
    named: &mut bool,
    dice: &mut Dice,
) -> (Vec<Vec<u8>>, usize) {
    // Many different ones, so that there is not room for all.
    let limit = format!("LIMIT {}", 100 + dice.below(60));
    let text = format!("{mark}{}", read.text).replace("LIMIT 100", &limit);
    if dice.one_in(3) {
        let text = text.replace("$1", &id.to_string());
        return match dice.below(4) {
            // A transaction that only reads.
            0 => (
                vec![
                    query("BEGIN READ ONLY"),
                    query(&text),
                    query(if dice.one_in(2) { "COMMIT" } else { "ROLLBACK" }),
                ],
                3,
            ),
            _ => (vec![query(&text)], 1),
        };
    }
    // A number, as text or binary; the rows are text, so that they can be read here.
    let binary = read.of_one && dice.one_in(2);
    let number = if binary { format!("\0\0\0{}", id as u8 as char) } else { id.to_string() };
    let (parameters, formats) =
        if read.of_one { (vec![Some(number.as_str())], vec![i16::from(binary)]) } else { (vec![], vec![]) };
    let bound = |name: &str| bind_formats("", name, &formats, &parameters, &[0]);
    let mut frames = Vec::new();
    let name = if dice.one_in(2) { "" } else { "named" };
    if name == "named" && *named {
        frames.push(close_statement("named"));
    }
    *named |= name == "named";
    frames.push(parse(name, &text));
    if dice.one_in(3) {
        frames.push(describe_statement(name));
    }
    frames.push(bound(name));
    if dice.one_in(2) {
        frames.push(describe_portal(""));
    }
    frames.extend([execute("", 0), sync()]);
    (frames, 1)
}
