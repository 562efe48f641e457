//! The slot that a stream is read from, and whether it goes on where the last one ended.

use tokio::time::{Instant, sleep_until};

use super::own::Own;
use super::stream::Walsender;
use super::{Fault, SLOW_SLOT, Source};

/// The most bytes of a database's name that stand in a slot's name as they are.
const MAX_PART: usize = 22;

/// What the last stream was, if another may go on where it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Continuity {
    /// The server's own number, and its timeline.
    system: String,
    /// Everything before this was applied.
    pub(super) position: u64,
}

/// A stream that has begun.
pub(super) struct Begun {
    /// For its pulses: nobody else has it.
    pub(super) token: u64,
    /// It goes on where the last one ended.
    pub(super) whole: bool,
    /// Whether another may go on where it ends.
    pub(super) continuity: Option<Continuity>,
}

const SLOT: &str = "
SELECT s.plugin <> 'pgoutput' OR s.temporary OR s.database <> current_database(),
    coalesce(s.wal_status, 'lost') = 'lost' OR s.confirmed_flush_lsn IS NULL,
    coalesce(s.confirmed_flush_lsn, '0/0') - '0/0'
FROM pg_replication_slots s WHERE s.slot_name = $1";

/// Makes or finds the slot, and begins to stream from it.
pub(super) async fn begin(
    walsender: &mut Walsender,
    own: &mut Own,
    source: &Source,
    last: Option<&Continuity>,
) -> Result<Begun, Fault> {
    let token = own.value("SELECT translate(left(gen_random_uuid()::text, 18), '-', '')", &[]).await?;
    let token = token.and_then(|token| u64::from_str_radix(&token, 16).ok());
    let token = token.ok_or(Fault::Lost("the server makes no random numbers".to_owned()))?;
    let publication = &source.settings.publication;
    let Some(prefix) = &source.settings.slot else {
        let name = format!("howdah_{token:016x}");
        create(walsender, source, &name, "TEMPORARY ").await?;
        walsender.start(&name, publication).await?;
        return Ok(Begun { token, whole: false, continuity: None });
    };
    let name = permanent_name(prefix, &source.dbname);
    let row = walsender.command("IDENTIFY_SYSTEM").await?.into_iter().next().unwrap_or_default();
    let system: Vec<String> = row.into_iter().take(2).map(Option::unwrap_or_default).collect();
    let system = system.join("/");
    let kept = own.ask(SLOT, &[Some(&name)]).await?.rows.first().map(|row| Kept::read(row));
    let mut whole = false;
    match kept {
        Some(kept) if kept.foreign => {
            return Err(Fault::Unfit(format!(
                "slot {name} is another's: it is not of pgoutput in this database"
            )));
        }
        Some(kept) if kept.lost => {
            tracing::warn!(slot = name, "the server has given the slot up: it is made anew");
            walsender.command(&format!("DROP_REPLICATION_SLOT \"{name}\"")).await?;
            create(walsender, source, &name, "").await?;
        }
        Some(kept) => {
            // Nothing was read from it but by us, and the server is the same: nothing is missing.
            whole = last.is_some_and(|last| last.system == system && kept.confirmed <= last.position);
        }
        None => create(walsender, source, &name, "").await?,
    }
    walsender.start(&name, publication).await?;
    // Until more is applied, what is known is what was known before.
    let position = if whole { last.map_or(0, |last| last.position) } else { 0 };
    Ok(Begun { token, whole, continuity: Some(Continuity { system, position }) })
}

/// Making a slot waits for all transactions that run.
async fn create(walsender: &mut Walsender, source: &Source, name: &str, kind: &str) -> Result<(), Fault> {
    let text = format!("CREATE_REPLICATION_SLOT \"{name}\" {kind}LOGICAL pgoutput NOEXPORT_SNAPSHOT");
    let database = source.cache.id();
    let slow = async {
        sleep_until(Instant::now() + SLOW_SLOT).await;
        tracing::warn!(%database, "the server makes no slot before the transactions that run have ended");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        made = walsender.command(&text) => made.map(|_| ()),
        () = slow => Ok(()),
    }
}

/// What is known of a slot that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    /// Of another plugin or database, or temporary.
    foreign: bool,
    /// The server has removed what it needs, or it was never finished.
    lost: bool,
    /// Everything before has been confirmed.
    confirmed: u64,
}

impl Kept {
    fn read(row: &[Option<String>]) -> Self {
        let text = |at| row.get(at).and_then(Option::as_deref).unwrap_or_default();
        // A position that cannot be read is none that was confirmed by us.
        let confirmed = text(2).parse().unwrap_or(u64::MAX);
        Self { foreign: text(0) != "f", lost: text(1) == "t", confirmed }
    }
}

/// Slots belong to the whole server, so the database is part of their names.
fn permanent_name(prefix: &str, dbname: &str) -> String {
    let plain = dbname.len() <= MAX_PART
        && dbname.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain {
        format!("{prefix}_{dbname}")
    } else {
        // FNV-1a: a name for always, not a secret.
        let hash = dbname.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{prefix}_{hash:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permanent_slots_have_names_that_the_server_takes() {
        let long = "p".repeat(40);
        for (prefix, dbname) in
            [("howdah", "shop"), ("h", "Shop"), (&long, &"d".repeat(63)), (&long, &"d".repeat(22))]
        {
            let name = permanent_name(prefix, dbname);
            assert!(name.len() <= 63, "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert!(name.starts_with(prefix));
        }
        assert_eq!(permanent_name("howdah", "shop_1"), "howdah_shop_1");
        assert_eq!(permanent_name("howdah", "Shop"), "howdah_716a5f24e3fe97e9");
        assert_ne!(permanent_name("howdah", "a-b"), permanent_name("howdah", "a.b"));
    }

    #[test]
    fn a_slot_that_cannot_be_read_is_none_of_ours() {
        let text = |words: [&str; 3]| words.map(|word| Some(word.to_owned())).to_vec();
        let read = |row: &[Option<String>]| Kept::read(row);
        assert_eq!(read(&text(["f", "f", "42"])), Kept { foreign: false, lost: false, confirmed: 42 });
        assert_eq!(read(&text(["t", "t", "0"])), Kept { foreign: true, lost: true, confirmed: 0 });
        assert_eq!(read(&[]), Kept { foreign: true, lost: false, confirmed: u64::MAX });
    }
}
