//! What a text may leave behind in the session that it runs in.

use std::ops::{BitAnd, BitOr, BitOrAssign};

/// A small set of traces. What it says is "perhaps": a rollback takes most of them back, and a function may leave
/// some that no text shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaves(u32);

impl Leaves {
    /// Nothing.
    pub const NOTHING: Self = Self(0);
    /// Settings: SET, RESET, `set_config(…, false)`.
    pub const SETTINGS: Self = Self(1);
    /// Statements that SQL prepared: PREPARE.
    pub const PREPARED: Self = Self(1 << 1);
    /// Temporary tables and what else is in `pg_temp`.
    pub const TEMPORARY: Self = Self(1 << 2);
    /// Session advisory locks.
    pub const LOCKS: Self = Self(1 << 3);
    /// Cursors WITH HOLD.
    pub const CURSORS: Self = Self(1 << 4);
    /// A library in the server process: LOAD.
    pub const LIBRARY: Self = Self(1 << 5);
    /// Another user: SET SESSION AUTHORIZATION.
    pub const AUTHORIZATION: Self = Self(1 << 6);
    /// Channels that are listened to.
    pub const CHANNELS: Self = Self(1 << 7);
    /// Nobody can read in the text what it does.
    pub const UNREADABLE: Self = Self(1 << 12);
    /// All that a function may leave without its text being seen (DO, CALL). But for LOAD: nobody loads by chance.
    pub const ANYTHING: Self = Self(0xff & !(1 << 5) | 1 << 12);

    /// A prepared statement is named: EXECUTE, also in EXPLAIN and CREATE TABLE AS, and DEALLOCATE.
    pub const EXECUTES: Self = Self(1 << 8);
    /// A setting goes back to its default: RESET, SET … TO DEFAULT.
    pub const RESETS: Self = Self(1 << 9);
    /// The state of a sequence in this session is asked for: `currval`, `lastval`.
    pub const SEQUENCES: Self = Self(1 << 10);
    /// Something may end that was left: DROP, CLOSE, DISCARD, `pg_advisory_unlock`.
    pub const ENDS: Self = Self(1 << 11);
    /// A sequence may be drawn from: INSERT, `nextval`, whatever is not a mere SELECT.
    pub const DRAWS: Self = Self(1 << 15);

    /// For what of it a client keeps its server connection, and the word for it in metrics and errors.
    pub const PINS: [(Self, &'static str); 6] = [
        (Self::LOCKS, "advisory_lock"),
        (Self::TEMPORARY, "temporary_table"),
        (Self::CURSORS, "cursor_with_hold"),
        (Self::LIBRARY, "library"),
        (Self::AUTHORIZATION, "session_authorization"),
        (Self::UNREADABLE, "unreadable"),
    ];

    /// The text says so in as many words: it is not only what code may do that nobody has read.
    pub(super) const fn plainly(self) -> Self {
        Self(self.0 | self.0 << 16)
    }

    /// What of it the text says in as many words.
    #[must_use]
    pub fn plain(self) -> Self {
        Self(self.0 >> 16)
    }

    /// As a number, for who keeps it elsewhere.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// From [`Self::bits`].
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The first reason to keep a server connection: its place in [`Self::PINS`].
    pub fn first_pin(self) -> Option<usize> {
        Self::PINS.iter().position(|(pin, _)| self.has(*pin))
    }

    /// The reasons to keep a server connection, as words for people.
    pub fn pin_words(self) -> String {
        let words: Vec<&str> = Self::PINS.iter().filter(|(pin, _)| self.has(*pin)).map(|(_, w)| *w).collect();
        words.join(", ")
    }

    /// Settings are changed through their list, `pg_settings`.
    pub const LISTED: Self = Self(1 << 13);

    /// Settings for the length of a transaction: SET LOCAL, `set_config(…, true)`.
    pub const LOCALS: Self = Self(1 << 14);

    /// It has something of `other`.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Something may be left: the session is not what it was.
    pub fn any(self) -> bool {
        self.has(Self(0xff | 1 << 12))
    }

    /// It has all of `other`.
    pub fn has_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Without what is in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Leaves {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Leaves {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Leaves {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
