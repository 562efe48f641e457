//! The forms in which transactions come.

use super::script::{Script, Sql};
use super::world::Tenant;
use crate::support::Dice;

const BEGINS: [&str; 4] = [
    "BEGIN",
    "START TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "begin work",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
];

/// How a client says who its tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// When it connects, for good.
    Fixed(usize),
    /// Afterwards. What SET has said: a tenant, none, or it is not known.
    Free(Option<Option<usize>>),
}

/// A script of one or more forms. Returns what SET will have said.
pub(super) fn compose(s: &mut Script<'_>, way: Way, tenants: &[Tenant], dice: &mut Dice) -> Way {
    s.closes = dice.one_in(4);
    match way {
        Way::Fixed(tenant) => {
            s.tenant = tenant;
            s.joined = dice.one_in(4);
            if dice.one_in(50) {
                trespass(s, tenants, dice);
            }
            for _ in 0..=dice.below(4) {
                form(s, dice);
            }
            s.cut();
            if dice.one_in(30) {
                s.trace();
            }
            way
        }
        Way::Free(said) => Way::Free(Some(free(s, said, tenants, dice))),
    }
}

/// Tries to be somebody else.
fn trespass(s: &mut Script<'_>, tenants: &[Tenant], dice: &mut Dice) {
    let other = (s.tenant + 1 + dice.below(tenants.len() - 1)) % tenants.len();
    let name = &tenants[other].name;
    let text = match dice.below(3) {
        0 => format!("SET howdah.tenant = '{name}'"),
        _ => format!("/* howdah.tenant='{name}' */ SELECT * FROM seen"),
    };
    s.refused(&text, "28000", dice.one_in(2));
    s.refused(&format!("SET app.tenant_id = '{name}'"), "42501", dice.one_in(2));
}

fn set(s: &mut Script<'_>, tenant: usize, local: bool, dice: &mut Dice) {
    s.tenant = tenant;
    let text = format!("SET {}howdah.tenant = '{}'", if local { "LOCAL " } else { "" }, s.tenant().name);
    s.own(&text, dice.one_in(2));
}

/// A client that may be anybody. Returns what SET has said last.
fn free(
    s: &mut Script<'_>,
    said: Option<Option<usize>>,
    tenants: &[Tenant],
    dice: &mut Dice,
) -> Option<usize> {
    let any = |dice: &mut Dice| dice.below(tenants.len());
    match dice.below(10) {
        // SET, and then some transactions; again in the same write.
        0..=2 => {
            s.joined = dice.one_in(3);
            for _ in 0..=dice.below(3) {
                let mut tenant = any(dice);
                while s.joined && tenants[tenant].hurried {
                    tenant = any(dice); // a statement that is stopped makes a COMMIT go missing
                }
                set(s, tenant, false, dice);
                form(s, dice);
            }
            s.cut();
            Some(s.tenant)
        }
        3 if said.flatten().is_some() => {
            s.tenant = said.flatten().unwrap_or_default();
            form(s, dice);
            s.cut();
            Some(s.tenant)
        }
        // Comments: each transaction somebody else's.
        4..=6 => {
            if said != Some(None) {
                s.own("RESET howdah.tenant", dice.one_in(2));
            }
            (s.comments, s.joined) = (true, dice.one_in(3));
            for _ in 0..=dice.below(6) {
                s.tenant = any(dice);
                form(s, dice);
            }
            s.cut();
            None
        }
        // SET LOCAL, over what SET has said.
        7 => {
            let session = if dice.one_in(2) { Some(any(dice)) } else { None };
            match session {
                Some(tenant) => set(s, tenant, false, dice),
                None => s.own("RESET howdah.tenant", dice.one_in(2)),
            }
            begin(s, dice);
            set(s, any(dice), true, dice);
            s.local = true;
            inside(s, dice);
            s.local = false;
            finish(s, dice);
            after(s, session, dice);
            session
        }
        // SET inside of a transaction, which is undone with it.
        8 => {
            let before = any(dice);
            set(s, before, false, dice);
            let commits = dice.one_in(2);
            s.simple(&[Sql::Begin("BEGIN")]);
            let within = any(dice);
            set(s, within, false, dice);
            s.simple(&[Sql::Insert]);
            s.simple(&[if commits { Sql::Commit } else { Sql::Rollback }]);
            let session = if commits { within } else { before };
            after(s, Some(session), dice);
            Some(session)
        }
        // Nobody.
        _ => {
            s.own("RESET howdah.tenant", dice.one_in(2));
            after(s, None, dice);
            None
        }
    }
}

fn after(s: &mut Script<'_>, session: Option<usize>, dice: &mut Dice) {
    match session {
        Some(tenant) => {
            s.tenant = tenant;
            form(s, dice);
            s.cut();
        }
        None => s.refused("SELECT * FROM seen", "28000", dice.one_in(2)),
    }
}

fn begin(s: &mut Script<'_>, dice: &mut Dice) {
    let begin = Sql::Begin(dice.pick(&BEGINS));
    if dice.one_in(2) {
        s.simple(&[begin])
    } else {
        s.batch(&[begin], dice.one_in(2))
    }
    if dice.one_in(4) {
        one(s, Sql::Quiet("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"), dice);
    }
}

fn one(s: &mut Script<'_>, sql: Sql, dice: &mut Dice) {
    if dice.one_in(2) { s.simple(&[sql]) } else { s.batch(&[sql], dice.one_in(2)) }
}

/// Statements in a block, and some errors.
fn inside(s: &mut Script<'_>, dice: &mut Dice) {
    // What a comment says ends with its transaction: what follows without one is refused, and in a pipeline Howdah
    // may not know yet that it is another transaction's.
    let mut unmarked = !(s.comments && s.joined);
    for _ in 0..=dice.below(3) {
        match dice.below(10) {
            0 => {
                one(s, Sql::Savepoint, dice);
                one(s, dice.pick(&[Sql::Breaks, Sql::Nonsense, Sql::Read]), dice);
                if dice.one_in(3) {
                    one(s, Sql::Read, dice);
                }
                one(s, Sql::RollbackTo, dice);
                one(s, Sql::Read, dice);
            }
            1 => s.simple(&[Sql::Insert, Sql::Read]),
            2 => s.batch(&[Sql::Insert, Sql::Read], dice.one_in(2)),
            3 => s.in_parts(),
            4 => s.copy_in(dice.one_in(2), dice.one_in(2), false),
            5 if unmarked => s.named(dice.one_in(2)),
            6 => one(s, Sql::Do, dice),
            7 if !s.local => {
                one(s, dice.pick(&[Sql::CommitChain, Sql::RollbackChain]), dice);
                unmarked = !s.comments;
            }
            8 => one(s, Sql::Insert, dice),
            _ => one(s, Sql::Read, dice),
        }
    }
    if dice.one_in(8) {
        one(s, dice.pick(&[Sql::Breaks, Sql::Nonsense]), dice);
        one(s, Sql::Insert, dice);
    }
}

fn finish(s: &mut Script<'_>, dice: &mut Dice) {
    one(s, dice.pick(&[Sql::Commit, Sql::Commit, Sql::Rollback]), dice);
}

fn form(s: &mut Script<'_>, dice: &mut Dice) {
    match dice.below(40) {
        0..=5 => s.simple(&[Sql::Read]),
        6..=8 => s.simple(&[Sql::Insert]),
        9..=11 => s.batch(&[Sql::Read], dice.one_in(2)),
        12..=14 => s.batch(&[Sql::Insert], dice.one_in(2)),
        15..=19 if !s.comments => s.named(dice.one_in(2)),
        15 => s.simple(&[Sql::Read, Sql::Commit, Sql::Read]),
        16 => s.simple(&[Sql::Begin("BEGIN"), Sql::Insert, Sql::Commit, Sql::Insert]),
        17 => s.simple(&[
            Sql::Insert,
            Sql::Rollback,
            Sql::Begin("BEGIN"),
            Sql::Read,
            Sql::CommitChain,
            Sql::Read,
            Sql::Commit,
        ]),
        18 => s.batch(&[Sql::Begin("BEGIN"), Sql::Read, Sql::Commit, Sql::Insert], dice.one_in(2)),
        19 => s.batch(&[Sql::Read, Sql::Insert, Sql::Read], dice.one_in(2)),
        20..=25 => {
            begin(s, dice);
            inside(s, dice);
            finish(s, dice);
        }
        26 => s.simple(&[Sql::CopyOut]),
        27 => s.batch(&[Sql::CopyOut], dice.one_in(2)),
        28 => s.copy_in(dice.one_in(2), dice.one_in(2), dice.one_in(4)),
        29 => one(s, Sql::Call, dice),
        30 => one(s, Sql::Do, dice),
        31 => one(s, dice.pick(&[Sql::Breaks, Sql::Nonsense]), dice),
        32 => s.simple(&[Sql::Insert, Sql::Breaks]),
        33 => s.batch(&[Sql::Insert, Sql::Breaks], dice.one_in(2)),
        34 => pipeline(s, dice),
        35 => s.simple(&[
            Sql::Begin("BEGIN"),
            Sql::Savepoint,
            Sql::Insert,
            Sql::RollbackTo,
            Sql::Read,
            Sql::Commit,
        ]),
        36 => s.in_parts(),
        37 if dice.one_in(4) => one(
            s,
            Sql::Quiet(dice.pick(&[
                "SET work_mem = '5MB'",
                "RESET ALL",
                "SET extra_float_digits = 2",
                "RESET work_mem",
            ])),
            dice,
        ),
        38 if s.tenant().hurried && dice.one_in(5) => one(s, Sql::Sleep, dice),
        38 => s.simple(&[Sql::Read, Sql::Commit, Sql::Insert]),
        39 => s.simple(&[Sql::Begin("BEGIN"), Sql::Read, Sql::Rollback, Sql::Insert]),
        _ => s.simple(&[Sql::Read, Sql::Insert]),
    }
}

/// Several batches in one write, whatever the rest of the script does, with errors among them.
fn pipeline(s: &mut Script<'_>, dice: &mut Dice) {
    let joined = std::mem::replace(&mut s.joined, true);
    for _ in 0..=dice.below(10) {
        match dice.below(8) {
            0 => s.batch(&[Sql::Insert, Sql::Nonsense], false),
            1 => s.simple(&[Sql::Read]),
            2 if !s.comments => s.named(true),
            3 if !s.comments => s.named(false),
            4 => s.batch(&[dice.pick(&[Sql::Call, Sql::Do])], false),
            5 => {
                one(s, Sql::Begin("BEGIN"), dice);
                one(s, Sql::Insert, dice);
                one(s, dice.pick(&[Sql::Read, Sql::Breaks]), dice);
                one(s, Sql::Insert, dice);
                one(s, dice.pick(&[Sql::Commit, Sql::Rollback]), dice);
            }
            6 => s.batch(&[Sql::Insert], true),
            _ => s.batch(&[Sql::Read], dice.one_in(2)),
        }
    }
    s.joined = joined;
    s.end();
}
