//! What sessions are made of, each part of which can be looked at by itself.

/// A kind of statement, or a form in which statements are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Feature {
    Startup,
    Set,
    Local,
    Custom,
    Characteristics,
    Role,
    Prepare,
    Named,
    Portal,
    Temp,
    Savepoint,
    Error,
    Cursor,
    Lock,
    Listen,
    Ddl,
    Place,
    Discard,
    Do,
    Copy,
    Large,
    Sequence,
    Crossed,
    Block,
    Extended,
    Multi,
    Batch,
    Pipeline,
}

impl Feature {
    /// With the word for `HOWDAH_SOAK_FEATURES` and the weight among a session's statements; those of weight 0 are
    /// used only when they are named. What is a form and no statement has no weight.
    pub(super) const ALL: [(Self, &'static str, usize); 28] = [
        (Self::Startup, "startup", 1),
        (Self::Set, "set", 4),
        (Self::Local, "local", 2),
        (Self::Custom, "custom", 2),
        (Self::Characteristics, "characteristics", 1),
        (Self::Role, "role", 1),
        (Self::Prepare, "prepare", 3),
        (Self::Named, "named", 3),
        (Self::Portal, "portal", 2),
        (Self::Temp, "temp", 2),
        (Self::Savepoint, "savepoint", 2),
        (Self::Error, "error", 2),
        (Self::Cursor, "cursor", 2),
        (Self::Lock, "lock", 2),
        (Self::Listen, "listen", 2),
        (Self::Ddl, "ddl", 3),
        (Self::Place, "place", 2),
        (Self::Discard, "discard", 1),
        (Self::Do, "do", 2),
        (Self::Copy, "copy", 1),
        (Self::Large, "large", 1),
        (Self::Sequence, "sequence", 0),
        (Self::Crossed, "crossed", 0),
        (Self::Block, "block", 1),
        (Self::Extended, "extended", 1),
        (Self::Multi, "multi", 1),
        (Self::Batch, "batch", 1),
        (Self::Pipeline, "pipeline", 1),
    ];

    /// Not statements of their own.
    const FORMS: [Self; 6] =
        [Self::Startup, Self::Block, Self::Extended, Self::Multi, Self::Batch, Self::Pipeline];

    pub(super) fn is_form(self) -> bool {
        Self::FORMS.contains(&self)
    }

    pub(super) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(each, ..)| *each == self).map_or("", |(_, word, _)| word)
    }

    pub(super) fn weight(self) -> usize {
        Self::ALL.iter().find(|(each, ..)| *each == self).map_or(1, |(.., weight)| (*weight).max(1))
    }

    /// A list with commas: `set,block`. A leading `-` takes out of all: `-listen,-lock`.
    pub(super) fn list(words: &str) -> Vec<Self> {
        let usual = Self::ALL.iter().filter(|(_, _, weight)| *weight > 0).map(|(feature, ..)| *feature);
        let words: Vec<&str> = words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let find = |word: &str| {
            let found = Self::ALL.iter().find(|(_, name, _)| *name == word);
            found.unwrap_or_else(|| panic!("no feature {word:?}: {:?}", Self::ALL.map(|(_, word, _)| word))).0
        };
        let without: Vec<Self> = words.iter().filter_map(|word| word.strip_prefix('-')).map(find).collect();
        let named: Vec<Self> =
            words.iter().filter(|word| !word.starts_with('-')).map(|word| find(word)).collect();
        let from: Vec<Self> = if named.is_empty() { usual.collect() } else { named };
        from.into_iter().filter(|feature| !without.contains(feature)).collect()
    }
}
